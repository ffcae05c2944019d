// Package prune holds the engines of pruning. It knows neither snapshots nor records: package
// repo says what is needed, condemns and removes.
//
//   - A Walker collects all chunks that trees need. It reads inner and reference pages, each once,
//     and no file data.
//   - A Survey decides which packs go, and which are worth being copied.
//   - Lives tell how long segments are needed still, as far as that is known. They are advice: what goes depends on them in no way.
//   - A Copier copies the sealed segments of packs that are needed to new packs. It never opens one.
package prune
