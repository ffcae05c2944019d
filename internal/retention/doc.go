// Package retention decides which snapshots of a source stay. Its rules are
// pure: records in, decisions out, with the time of day as a parameter. It
// removes nothing, and reads nothing but the zone table of the machine (or the
// one linked into the program). Every function is safe for concurrent use.
//
// # The model
//
// [Apply] looks at one source at a time. A source is what the record names as
// its source, never a path or a host label. Its good snapshots, those that are
// neither suspicious nor partial nor misdated, are walked from the newest to
// the oldest. The rules are taken from fine to coarse: last and within, then
// hours, days, ISO weeks, months, quarters, years, all in the zone of the
// policy. Each rule keeps the newest snapshot of its periods, and only periods
// that have a snapshot exist:
//
//   - A rule "keep N" counts the first N periods that lie wholly before the
//     oldest period that a finer rule keeps: 7 days, then 4 weeks before those,
//     then 12 months before those.
//   - In the periods into which a finer rule still reaches, the rule keeps the
//     newest snapshot too, without counting it. This is what the rule will
//     need once the finer one has moved on; without it the last day of a month
//     would be gone when its month comes to be counted.
//   - A rule "keep within D" keeps the newest of each period later than D
//     before the newest good snapshot (not before now: a source that rests for
//     a year loses nothing by it).
//   - While a count is not filled, the oldest snapshot stays as well, so that a
//     young history is kept at full length.
//   - Pins and tags keep a snapshot and change nothing for the others.
//
// With [Policy.Overlap] each rule counts from the newest snapshot, whatever
// the others keep, and a window that has snapshots to spare keeps the oldest in
// it too: the counting of restic.
//
// # Why the newest of a period
//
// The state that people mean by "Tuesday" or "end of March" is the last one.
// It is also stable: later snapshots fall into later periods, so a period that
// has ended keeps its newest snapshot for good, and a period's rank only grows.
// Hence the order of work does not matter: for snapshots that arrive in order,
// forgetting after every run keeps exactly what forgetting once, at the end,
// would keep out of the whole history. There are no gaps to fall into. (Windows
// may keep more when run often: one that starts in the hour that a clock change
// skips, and the oldest in a window where rules overlap.)
//
// # What 7/4/12 guarantees
//
// With at least one good snapshot on each calendar day, at the end of each day
// from the 408th on:
//
//   - 7 snapshots are counted as daily, 4 as weekly and 12 as monthly; with up
//     to 2 month ends that wait for their turn, 23 to 25 are kept in all;
//   - the oldest was made 369 to 406 days before;
//   - neighbours are 1 day apart within the 7 days, at most 7 days apart to the
//     end of the 4 weeks, and at most 31 days apart beyond.
//
// A younger history is kept back to its first snapshot. Days without a
// snapshot do not count: they stretch the reach and never shorten it.
//
// # What never goes
//
//   - The newest good snapshot of a source, and anything pinned.
//   - A suspicious snapshot until a good one is [Grace] newer. It takes no
//     slot. While the newest snapshot of a source is suspicious nothing of that
//     source goes, unless [Options.ReleaseSuspicious] is set.
//   - Partial snapshots take no slot of good ones. They are counted by
//     themselves, with the same rules, and go when a good one is [Grace] newer.
//   - A misdated snapshot: one with a stamp earlier than that of a snapshot
//     made before it, by sequence number. It takes no slot, and stays until
//     those that contradict it are gone.
//
// All of these ages are counted between snapshots; the clock removes nothing.
// It only stops removal: for a source with a snapshot later than now by more
// than [MaxSkew], and for all sources where another clock ([Options.Clocks])
// disagrees by more than that. A policy that keeps nothing is refused, and one
// that only has tags removes nothing from a source where no tag matches.
package retention
