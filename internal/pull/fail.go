package pull

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/snapkeep/snap/internal/config"
	"golang.org/x/sync/errgroup"
)

// Fail tells of sources of which none was pulled for one reason, such as that the repository cannot be opened: it runs their hooks after_failure and
// finally, or those of the defaults for names that the configuration does not have. It goes on when ctx is done, and returns which hooks failed.
func Fail(ctx context.Context, c *config.Config, names []string, reason error) error {
	var (
		mu    sync.Mutex // guards errs
		errs  []error
		group errgroup.Group
	)
	ctx = context.WithoutCancel(ctx)
	group.SetLimit(max(1, c.Parallel))
	for _, name := range names {
		group.Go(func() error {
			if err := failed(ctx, c, name, reason); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

func failed(ctx context.Context, c *config.Config, name string, reason error) error {
	s, ok := c.Sources[name]
	if !ok {
		s = c.Defaults
	}
	r := &Result{Source: name, Err: reason}
	timeout := s.Hooks.Timeout.Or(config.DefaultHookTimeout)
	return errors.Join(runHooks(ctx, s.Hooks.AfterFailure, timeout, r.environment(), false), runHooks(ctx, s.Hooks.Finally, timeout, r.environment(), false))
}
