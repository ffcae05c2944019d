package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/minio/minio-go/v7"
)

// newLock says how objects are locked when they are put.
type newLock struct {
	mode   minio.RetentionMode
	period time.Duration
	exempt func(name string) bool
}

const (
	lockModeHeader  = "X-Amz-Object-Lock-Mode"
	lockUntilHeader = "X-Amz-Object-Lock-Retain-Until-Date"
)

// lockMode returns the mode for governance or compliance.
func lockMode(mode string) (minio.RetentionMode, error) {
	switch mode {
	case "governance":
		return minio.Governance, nil
	case "compliance":
		return minio.Compliance, nil
	}
	return "", fmt.Errorf("%w: lock mode %q: want governance or compliance", fs.ErrInvalid, mode)
}

// LockNew locks objects from now on when they are put, for a period, but for those that are exempt. The mode is governance or
// compliance; an empty one ends that.
func (s *Store) LockNew(mode string, period time.Duration, exempt func(name string) bool) error {
	if mode == "" {
		s.lock.Store(nil)
		return nil
	}
	m, err := lockMode(mode)
	if err == nil {
		s.lock.Store(&newLock{m, period, exempt})
	}
	return s.wrap("lock", "", err)
}

// CanLock reports whether the bucket has Object Lock.
func (s *Store) CanLock(ctx context.Context) (bool, error) {
	enabled := false
	err := s.do(ctx, func(*try) error {
		state, _, _, _, err := s.client.GetObjectLockConfig(ctx, s.location.Bucket)
		switch code(err) {
		case "ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed":
			return nil
		}
		enabled = err == nil && state == "Enabled"
		return err
	})
	return enabled, s.wrap("ask for the lock of the bucket", "", err)
}

// LockedUntil returns until when a version of a file is locked, and in which mode; a zero time if it is not.
func (s *Store) LockedUntil(ctx context.Context, name, version string) (until time.Time, mode string, err error) {
	var info minio.ObjectInfo
	err = s.do(ctx, func(*try) error {
		info, err = s.client.StatObject(ctx, s.location.Bucket, s.location.key(name), minio.StatObjectOptions{VersionID: version})
		return err
	})
	if err != nil {
		return until, "", s.wrap("ask for the lock of", name, err)
	}
	text := info.Metadata.Get(lockUntilHeader)
	if text == "" {
		return until, "", nil
	}
	if until, err = time.Parse(time.RFC3339, text); err != nil {
		return until, "", s.wrap("ask for the lock of", name, fmt.Errorf("the server says until %q", text))
	}
	switch info.Metadata.Get(lockModeHeader) {
	case string(minio.Governance):
		return until, "governance", nil
	case string(minio.Compliance):
		return until, "compliance", nil
	}
	return until, "", nil
}

// Lock locks a version of a file until a time, which must be later than that of the lock that it has.
func (s *Store) Lock(ctx context.Context, name, version, mode string, until time.Time) error {
	m, err := lockMode(mode)
	if err == nil {
		until = until.UTC().Truncate(time.Second)
		opts := minio.PutObjectRetentionOptions{Mode: &m, RetainUntilDate: &until, VersionID: version}
		err = s.do(ctx, func(*try) error {
			return s.client.PutObjectRetention(ctx, s.location.Bucket, s.location.key(name), opts)
		})
	}
	return s.wrap("lock", name, err)
}

// ErrLocked says that a version cannot be removed for now.
var ErrLocked = errors.New("it is locked")

// RemoveVersion removes a version of a file, or a marker, for good. The error wraps ErrLocked, and fs.ErrPermission, if it is locked.
func (s *Store) RemoveVersion(ctx context.Context, name, version string) error {
	err := s.do(ctx, func(*try) error {
		return s.client.RemoveObject(ctx, s.location.Bucket, s.location.key(name), minio.RemoveObjectOptions{VersionID: version})
	})
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return s.wrap("remove a version of", name, err)
}
