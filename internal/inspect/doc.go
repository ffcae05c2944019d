// Package inspect shows what single files of a repository and single chunks hold, for
// people who look for a fault. It opens a repository on its own, reads only, keeps
// nothing, and holds all index files in memory: it is not made for work.
package inspect
