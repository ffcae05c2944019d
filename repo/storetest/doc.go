// Package storetest proves that a store keeps the contract that this module
// expects of the place where a repository is kept.
//
// The contract is the [Store] interface and, where it is implemented too, the
// [Spooler] interface. Both are spelled with standard types: an implementation
// imports this package from its tests only.
//
//	func TestStore(t *testing.T) {
//		storetest.Test(t, func(t *testing.T) storetest.Store {
//			s, err := mystore.Create(t.TempDir())
//			if err != nil {
//				t.Fatal(err)
//			}
//			return s
//		})
//	}
//
// [TestReopen] adds what can only be seen by closing a store and opening it
// again.
//
// What no test from outside can show, and an implementer has to see to, is
// that a file outlives a power cut once Create or commit has returned nil.
package storetest
