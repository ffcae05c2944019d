package storetest_test

import (
	"testing"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo/storetest"
)

func ExampleTest() {
	// In a test file of the implementation:
	testStore := func(t *testing.T) {
		storetest.Test(t, func(t *testing.T) storetest.Store {
			return mem.New(nil) // or whatever is to be tested
		})
	}
	_ = testStore
}
