package s3

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/snapkeep/snap/internal/store/spool"
)

const (
	putHeader      = "X-Amz-Meta-Snap-Put" // the random number of the call that put an object
	checksumHeader = "X-Amz-Checksum-Sha256"
	dataPrefix     = "data/"
)

// Create implements store.Store. The data is collected before any of it is
// sent.
func (s *Store) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	err := s.checkName(ctx, name)
	if err == nil {
		var b *spool.Buffer
		if b, err = s.spools.Collect(ctx, data, size); err == nil {
			err = errors.Join(s.put(ctx, name, b), b.Close())
		}
	}
	return s.wrap("create", name, err)
}

// upload is an object that is being put.
type upload struct {
	*Store
	key  string
	data *spool.Buffer
	id   string
}

// put stores an object under a name that is not taken.
func (s *Store) put(ctx context.Context, name string, data *spool.Buffer) error {
	u := &upload{Store: s, key: s.location.key(name), data: data, id: rand.Text()}
	unique := s.opts.Unique(name)
	if !s.heeds.Load() && !unique {
		if taken, err := u.isTaken(ctx); err != nil || taken {
			return errors.Join(err, existsIf(taken))
		}
	}
	hidden := false
	for {
		conditional := !s.lacks.Load() && !hidden
		err := u.send(ctx, conditional)
		if errors.As(err, new(nameHidden)) {
			hidden = true
			continue
		}
		var unknown conditionUnknown
		if !errors.As(err, &unknown) {
			if err == nil && conditional && !unique {
				u.learn(ctx)
			}
			return err
		}
		s.lacks.Store(true)
	}
}

// learnBytes bounds the objects that are put again to learn something.
const learnBytes = 64 << 10

// learn finds out once whether the server heeds conditions, so that names need not be looked at before each put: it puts a small object that is
// there again. A server that does not heed them has the same bytes under the name then as before.
func (u *upload) learn(ctx context.Context) {
	if u.heeds.Load() || u.data.Size() > learnBytes || !u.asked.CompareAndSwap(false, true) {
		return
	}
	sum, err := digest(u.section(0, u.data.Size()))
	if err != nil {
		return
	}
	err = u.limited(ctx, func() error { return u.putWhole(ctx, sum, true) })
	if code(err) == "PreconditionFailed" {
		u.heeds.Store(true)
	}
}

// putWhole makes one request with all data, of which sum is the SHA-256.
func (u *upload) putWhole(ctx context.Context, sum []byte, conditional bool) error {
	opts := u.options(conditional)
	if !u.isGoogle() {
		opts.UserMetadata[checksumHeader] = base64.StdEncoding.EncodeToString(sum)
	}
	_, err := u.client.PutObject(ctx, u.location.Bucket, u.key, u.section(0, u.data.Size()), u.data.Size(), "", hex.EncodeToString(sum), opts)
	return err
}

// conditionUnknown is the error of a server that knows no conditions.
type conditionUnknown struct{ error }

// nameHidden is the error of a server that refuses a name of which there are only versions that were removed.
type nameHidden struct{ error }

func existsIf(taken bool) error {
	if taken {
		return fs.ErrExist
	}
	return nil
}

func (u *upload) send(ctx context.Context, conditional bool) error {
	if u.data.Size() > u.opts.PartBytes {
		return u.sendParts(ctx, conditional)
	}
	sum, err := digest(u.section(0, u.data.Size()))
	if err != nil {
		return err
	}
	return u.last(ctx, conditional, func() error { return u.putWhole(ctx, sum, conditional) })
}

// last makes the request by which the object appears.
func (u *upload) last(ctx context.Context, conditional bool, fn func() error) error {
	return u.do(ctx, func(t *try) error {
		if t.again {
			if mine, err := u.isMine(ctx); err != nil || mine {
				return err
			}
		}
		err := fn()
		switch c := code(err); {
		case conditional && (c == "NotImplemented" || c == "InvalidArgument" || c == "InvalidRequest"):
			return permanentError{conditionUnknown{err}}
		case c == "PreconditionFailed":
			u.heeds.Store(true)
			if mine, mineErr := u.isMine(ctx); mine || mineErr != nil {
				return mineErr
			}
			if conditional { // isMine has seen that nothing is there
				return permanentError{nameHidden{err}}
			}
		}
		return err
	})
}

func (u *upload) section(off, n int64) *io.SectionReader { return io.NewSectionReader(u.data, off, n) }

func (u *upload) isGoogle() bool { return s3utils.IsGoogleEndpoint(*u.client.EndpointURL()) }

func (u *upload) options(conditional bool) minio.PutObjectOptions {
	opts := minio.PutObjectOptions{
		UserMetadata:         map[string]string{putHeader: u.id},
		DisableContentSha256: true, // the whole sum is in the signature
	}
	name, _ := u.location.name(u.key)
	if strings.HasPrefix(name, dataPrefix) {
		opts.StorageClass = u.opts.StorageClass
	}
	if lock := u.lock.Load(); lock != nil && !lock.exempt(name) {
		opts.Mode, opts.RetainUntilDate = lock.mode, time.Now().Add(lock.period).UTC().Truncate(time.Second)
	}
	if conditional {
		opts.SetMatchETagExcept("*")
	}
	return opts
}

// isTaken looks whether there is an object of that name.
func (u *upload) isTaken(ctx context.Context) (bool, error) {
	err := u.do(ctx, func(*try) error {
		_, err := u.client.StatObject(ctx, u.location.Bucket, u.key, minio.StatObjectOptions{})
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isMine reports whether the object of that name was put by an earlier try. The
// error is fs.ErrExist if it was put by somebody else. It is part of a request
// that is under way.
func (u *upload) isMine(ctx context.Context) (bool, error) {
	info, err := u.client.StatObject(ctx, u.location.Bucket, u.key, minio.StatObjectOptions{})
	if err != nil {
		if errors.Is(classify(err), fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	if info.Size != u.data.Size() {
		return false, fs.ErrExist
	}
	switch info.Metadata.Get(putHeader) {
	case u.id:
		return true, nil
	case "": // the server does not keep it
		return u.isSame(ctx)
	}
	return false, fs.ErrExist
}

// isSame compares the object of that name with the data.
func (u *upload) isSame(ctx context.Context) (bool, error) {
	body, _, _, err := u.client.GetObject(ctx, u.location.Bucket, u.key, minio.GetObjectOptions{})
	if err != nil {
		return false, err
	}
	defer body.Close()
	theirs, err := digest(body)
	if err != nil {
		return false, err
	}
	ours, err := digest(u.section(0, u.data.Size()))
	if err != nil {
		return false, err
	}
	if string(theirs) != string(ours) {
		return false, fs.ErrExist
	}
	return true, nil
}

func digest(r io.Reader) ([]byte, error) {
	h := sha256.New()
	if err := copyTo(h, r); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

func copyTo(h hash.Hash, r io.Reader) error {
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, 128<<10)); err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	return nil
}
