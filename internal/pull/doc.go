// Package pull fetches snapshots from other machines: one source from its configuration to the committed snapshot, and
// many side by side.
//
//	hooks before → connect → look at the claims → back up → guards → commit → forget by rule → hooks
//
// Time, name and labels of a snapshot are this server's; what a source says of itself is kept as a claim. A source that
// fails, stalls or misbehaves costs its own snapshot and no other's.
package pull
