package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted error = interruption{}

// interruption is a context.Canceled: nobody takes it for a machine that cannot be reached.
type interruption struct{}

func (interruption) Error() string        { return "interrupted" }
func (interruption) Is(target error) bool { return target == context.Canceled }

// echoTime is how long behind a signal another one counts as the same: a terminal that closes, and whoever ends a group of
// processes, sends it twice.
const echoTime = time.Second

// untilSignal returns a context that ends with the first interrupt or termination signal.
// Once echoTime is over signals do what they do by default, so that a second one kills. That holds also when stop was called meanwhile: the echo
// of a signal does not change how a program ends that has done what was to be done.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
			close(done)
			time.Sleep(echoTime)
			signal.Stop(signals)
		case <-stopped:
			signal.Stop(signals)
			close(done)
		}
	}()
	return ctx, func() {
		close(stopped)
		<-done
		cancel(nil)
	}
}

// outlivePipes keeps the program from being killed when it writes to a pipe that nobody reads any more: a pull has to end
// what it has begun, and run its hooks. Writing fails then. An agent is over with the one who asks.
func outlivePipes(args []string) {
	if len(args) == 0 || args[0] != "agent" {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
}
