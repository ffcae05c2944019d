package term

import (
	"os"

	"golang.org/x/term"
)

// IsTerminal reports whether a stream, a reader or writer, is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns how many columns a terminal has; 80 if that is not known.
func Width(stream any) int {
	if f, ok := stream.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// Colours of text on a terminal.
const (
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

// Colour returns text in a colour, or as it is unless on is set.
func Colour(text, colour string, on bool) string {
	if !on {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
