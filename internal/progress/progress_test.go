package progress

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestInterval(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		fps      string
		want     time.Duration
	}{
		{true, "", OnTerminal}, {false, "", IntoPipe}, {false, "2", time.Second / 2}, {true, "0.1", 10 * time.Second},
		{true, "1000", time.Second / 60}, {false, "nonsense", IntoPipe}, {false, "-1", IntoPipe}, {false, "1e-30", time.Hour}, {true, "NaN", OnTerminal},
	} {
		if got := Interval(c.terminal, c.fps); got != c.want {
			t.Errorf("Interval(%v, %q) = %v, want %v", c.terminal, c.fps, got, c.want)
		}
	}
}

func TestLinesOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var done int64
		m := Start(&Lines{&out}, time.Minute, func() State {
			done += 60 << 20
			return State{Done: done, Total: 240 << 20, Files: 2, TotalFiles: 9, Problems: 1, Current: "\x1b[2J"}
		}, nil)
		time.Sleep(150 * time.Second)
		m.Stop()
		want := "[1:00] 25.0 %, 2 of 9 files, 60.000 MiB of 240.000 MiB, 1.000 MiB/s, 1 problem, 3:00 left\n" +
			"[2:00] 50.0 %, 2 of 9 files, 120.000 MiB of 240.000 MiB, 1.000 MiB/s, 1 problem, 2:00 left\n"
		if got := out.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestBarStaysOnItsLineAndMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := Start(&Bar{Out: &out, Width: func() int { return 60 }}, time.Second, func() State {
			return State{Done: 1, Total: 2, Current: strings.Repeat("long\n", 50)}
		}, nil)
		time.Sleep(1500 * time.Millisecond)
		m.Print(func() { out.WriteString("a message\n") })
		m.Stop()
		got := out.String()
		drawn, rest, ok := strings.Cut(got, "\r\x1b[Ka message\n")
		if !ok || rest != "" {
			t.Fatalf("got %q", got)
		}
		line := strings.TrimPrefix(drawn, "\r\x1b[K")
		if n := len([]rune(line)); n > 59 || strings.ContainsAny(line, "\n\x1b") || !strings.HasPrefix(line, "[=") {
			t.Errorf("%d characters: %q", n, line)
		}
	})
}

func TestRateForgets(t *testing.T) {
	var r rate
	done := int64(0)
	for s := 1; s <= 100; s++ {
		if done += 10; s > 50 {
			done += 990
		}
		r.add(time.Duration(s)*time.Second, done)
	}
	if r.perSecond < 900 || r.perSecond > 1000 {
		t.Errorf("after 50 s at 1000 a second the rate is %.1f", r.perSecond)
	}
}

func TestNilMeter(t *testing.T) {
	var m *Meter
	ran := false
	m.Print(func() { ran = true })
	m.Stop()
	if !ran {
		t.Error("nothing was printed")
	}
}
