// Package sourcetest tests implementations of a backup's source.
//
// A test builds the files that Tree returns where its source reads them, and hands
// the source to Test:
//
//	func TestSource(t *testing.T) {
//		sourcetest.Test(t, func(t *testing.T, files map[string]sourcetest.File) sourcetest.Built {
//			// make the files
//			return sourcetest.Built{Source: mine, Top: "where/they/lie"}
//		})
//	}
package sourcetest
