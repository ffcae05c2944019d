package restore

import "github.com/snapkeep/snap/internal/filter"

// selector decides what is restored.
type selector struct {
	include, exclude []*filter.List
}

// states are what the lists of a selector know of a folder.
type states struct {
	include, exclude []filter.State
}

// newSelector leaves out lists without patterns: they select nothing and exclude nothing.
func newSelector(include, exclude []*filter.List) *selector {
	s := &selector{}
	for _, l := range include {
		if !l.Empty() {
			s.include = append(s.include, l)
		}
	}
	for _, l := range exclude {
		if !l.Empty() {
			s.exclude = append(s.exclude, l)
		}
	}
	return s
}

func (s *selector) top() states {
	var st states
	for _, l := range s.include {
		st.include = append(st.include, l.Top())
	}
	for _, l := range s.exclude {
		st.exclude = append(st.exclude, l.Top())
	}
	return st
}

// enter returns the states of the folder name in the folder of st.
func (s *selector) enter(st states, name string) states {
	var next states
	for i, l := range s.include {
		next.include = append(next.include, l.Enter(st.include[i], name))
	}
	for i, l := range s.exclude {
		next.exclude = append(next.exclude, l.Enter(st.exclude[i], name))
	}
	return next
}

// choose reports whether name in the folder of st is restored, and whether something below it
// may be, if it is a folder.
func (s *selector) choose(st states, name string) (chosen, below bool) {
	for i, l := range s.exclude {
		if matched, _ := l.Match(st.exclude[i], name); matched {
			return false, false
		}
	}
	if len(s.include) == 0 {
		return true, true
	}
	for i, l := range s.include {
		m, b := l.Match(st.include[i], name)
		chosen, below = chosen || m, below || b
	}
	return chosen, below
}

// all reports whether everything is restored.
func (s *selector) all() bool { return len(s.include) == 0 && len(s.exclude) == 0 }
