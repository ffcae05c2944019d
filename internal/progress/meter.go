package progress

import (
	"math"
	"strconv"
	"sync"
	"time"
)

// State is how far a piece of work has come. Totals that are not known are 0.
type State struct {
	Done, Total           int64 // bytes, or things if CountsNoBytes is set
	Files, TotalFiles     int64
	Problems              int64
	Current               string // what is being worked on, as raw bytes; may be empty
	Elapsed               time.Duration
	Rate                  float64 // of Done a second, lately; filled in by the Meter
	Remaining             time.Duration
	RemainingKnown        bool
	CountsNoBytes         bool // Done and Total are things, not bytes
	TotalIsOnlyAnEstimate bool
}

// Percent returns how much is done, 0 to 100, and whether that is known.
func (s *State) Percent() (float64, bool) {
	if s.Total <= 0 {
		return 0, false
	}
	return math.Min(100, 100*float64(s.Done)/float64(s.Total)), true
}

// Display draws states. Its methods are called one at a time.
type Display interface {
	// Draw shows a state.
	Draw(State)
	// Clear takes away what Draw left on the screen, so that something else can be printed.
	Clear()
}

// Intervals between drawings.
const (
	OnTerminal = 100 * time.Millisecond
	IntoPipe   = time.Minute
	leastTime  = time.Second / 60
)

// Interval returns how often to draw: for a terminal or a pipe, unless fps, the value
// of SNAP_PROGRESS_FPS, is a number above 0.
func Interval(terminal bool, fps string) time.Duration {
	if f, err := strconv.ParseFloat(fps, 64); err == nil && f > 0 {
		d := float64(time.Second) / f
		return time.Duration(math.Max(float64(leastTime), math.Min(d, float64(time.Hour))))
	}
	if terminal {
		return OnTerminal
	}
	return IntoPipe
}

// Meter draws the state of a piece of work until Stop.
type Meter struct {
	display Display
	sample  func() State
	start   time.Time
	now     func() time.Time
	rate    rate
	stop    chan struct{}
	done    chan struct{}

	mu sync.Mutex // held while something is drawn or printed
}

// Start draws what sample returns every interval. sample is called from one goroutine
// at a time. now is the clock; nil means time.Now.
func Start(display Display, interval time.Duration, sample func() State, now func() time.Time) *Meter {
	if now == nil {
		now = time.Now
	}
	m := &Meter{display: display, sample: sample, now: now, start: now(), stop: make(chan struct{}), done: make(chan struct{})}
	go m.run(interval)
	return m
}

func (m *Meter) run(interval time.Duration) {
	defer close(m.done)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			m.draw()
		case <-m.stop:
			return
		}
	}
}

func (m *Meter) draw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.display.Draw(m.state())
}

// state returns a sample with the times filled in.
func (m *Meter) state() State {
	s := m.sample()
	s.Elapsed = m.now().Sub(m.start)
	m.rate.add(s.Elapsed, s.Done)
	s.Rate = m.rate.perSecond
	if left := s.Total - s.Done; s.Total > 0 && left >= 0 && s.Rate > 0 {
		seconds := float64(left) / s.Rate
		s.Remaining, s.RemainingKnown = time.Duration(math.Min(seconds, 1e9)*float64(time.Second)), true
	}
	return s
}

// Print runs fn, which prints something, while no bar is on the screen. A nil Meter just runs it.
func (m *Meter) Print(fn func()) {
	if m == nil {
		fn()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.display.Clear()
	fn()
}

// Stop takes the bar away and returns when nothing is drawn any more. It must be called
// once. A nil Meter has nothing to stop.
func (m *Meter) Stop() {
	if m == nil {
		return
	}
	close(m.stop)
	<-m.done
	m.display.Clear()
}

// memory is how far back a rate looks, roughly.
const memory = 10 * time.Second

// rate is an average that forgets.
type rate struct {
	perSecond float64
	at        time.Duration
	done      int64
}

func (r *rate) add(at time.Duration, done int64) {
	passed := at - r.at
	if passed <= 0 {
		return
	}
	latest := float64(done-r.done) / passed.Seconds()
	weight := 1 - math.Exp(-passed.Seconds()/math.Min(memory.Seconds(), at.Seconds()))
	if r.at == 0 {
		weight = 1
	}
	r.perSecond += weight * (latest - r.perSecond)
	r.at, r.done = at, done
}
