package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

const (
	partsAtOnce = 4
	// restarts is how often parts are put anew when the server does not know
	// them any more.
	restarts = 3
	// maxParts is the limit of S3.
	maxParts = 10_000
	// abortTimeout bounds the attempt to drop what is left of a failed upload.
	abortTimeout = 10 * time.Second

	algorithmHeader = "X-Amz-Checksum-Algorithm"
)

// sendParts puts an object in parts.
func (u *upload) sendParts(ctx context.Context, conditional bool) error {
	for try := 0; ; try++ {
		err := u.tryParts(ctx, conditional)
		switch code(err) {
		case "NoSuchUpload", "InvalidPart", "InvalidPartOrder":
			if try < restarts && ctx.Err() == nil {
				continue
			}
		}
		return err
	}
}

func (u *upload) tryParts(ctx context.Context, conditional bool) error {
	var id string
	err := u.do(ctx, func(*try) (err error) {
		opts := u.options(false)
		if !u.isGoogle() {
			opts.UserMetadata[algorithmHeader] = "SHA256"
		}
		id, err = u.client.NewMultipartUpload(ctx, u.location.Bucket, u.key, opts)
		return err
	})
	if err != nil {
		return err
	}
	parts, err := u.putAll(ctx, id)
	if err == nil {
		err = u.complete(ctx, id, parts, conditional)
	}
	if err != nil {
		u.abort(ctx, id)
	}
	return err
}

// partBytes returns the size of the parts.
func (u *upload) partBytes() int64 {
	return max(u.opts.PartBytes, (u.data.Size()+maxParts-1)/maxParts)
}

func (u *upload) putAll(ctx context.Context, id string) ([]minio.CompletePart, error) {
	size, step := u.data.Size(), u.partBytes()
	parts := make([]minio.CompletePart, (size+step-1)/step)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	for i := range parts {
		group.Go(func() (err error) {
			off := int64(i) * step
			parts[i], err = u.putPart(ctx, id, i+1, off, min(step, size-off))
			return err
		})
	}
	return parts, group.Wait()
}

func (u *upload) putPart(ctx context.Context, id string, number int, off, n int64) (minio.CompletePart, error) {
	done := minio.CompletePart{PartNumber: number}
	sum, err := digest(u.section(off, n))
	if err != nil {
		return done, err
	}
	opts := minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum), DisableContentSha256: true, CustomHeader: http.Header{}}
	if !u.isGoogle() {
		done.ChecksumSHA256 = base64.StdEncoding.EncodeToString(sum)
		opts.CustomHeader.Set(checksumHeader, done.ChecksumSHA256)
	}
	err = u.do(ctx, func(*try) error {
		part, err := u.client.PutObjectPart(ctx, u.location.Bucket, u.key, id, number, u.section(off, n), n, opts)
		done.ETag = part.ETag
		return err
	})
	return done, err
}

// complete makes the object of the parts.
func (u *upload) complete(ctx context.Context, id string, parts []minio.CompletePart, conditional bool) error {
	var opts minio.PutObjectOptions
	if conditional {
		opts.SetMatchETagExcept("*")
	}
	return u.last(ctx, conditional, func() error {
		_, err := u.client.CompleteMultipartUpload(ctx, u.location.Bucket, u.key, id, parts, opts)
		return err
	})
}

// abort drops the parts if that is possible now. What is left is for the
// bucket's rule for unfinished uploads.
func (u *upload) abort(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_ = u.limited(ctx, func() error { return u.client.AbortMultipartUpload(ctx, u.location.Bucket, u.key, id) })
}
