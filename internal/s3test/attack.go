package s3test

import (
	"context"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Client returns a client for the owner of the server.
func (s *Server) Client() (*minio.Client, error) {
	return minio.New(s.Proxy.Addr(), &minio.Options{Creds: s.Credentials(), Region: "us-east-1"})
}

// MakeLockedBucket makes a bucket that keeps versions and has Object Lock.
func (s *Server) MakeLockedBucket(bucket string) error {
	client, err := s.Client()
	if err != nil {
		return err
	}
	return client.MakeBucket(context.Background(), bucket, minio.MakeBucketOptions{Region: "us-east-1", ObjectLocking: true})
}

// Hide deletes the objects that have a part in their name, which leaves a marker where versions are kept.
func (s *Server) Hide(bucket, part string) error {
	client, err := s.Client()
	if err != nil {
		return err
	}
	ctx := context.Background()
	for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return fmt.Errorf("list bucket: %w", object.Err)
		}
		if !strings.Contains(object.Key, part) {
			continue
		}
		if err := client.RemoveObject(ctx, bucket, object.Key, minio.RemoveObjectOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// DeleteAll does what an attacker with all keys of a bucket does: it deletes each object, which leaves a marker where versions are kept, and then tries
// to delete each version for good. It returns an error only if the bucket cannot be listed.
func (s *Server) DeleteAll(bucket string) error {
	client, err := s.Client()
	if err != nil {
		return err
	}
	ctx := context.Background()
	for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return fmt.Errorf("list bucket: %w", object.Err)
		}
		_ = client.RemoveObject(ctx, bucket, object.Key, minio.RemoveObjectOptions{}) // as far as it is let
	}
	for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if object.Err != nil {
			return fmt.Errorf("list versions: %w", object.Err)
		}
		if object.IsDeleteMarker {
			continue // removing it would bring the object back
		}
		_ = client.RemoveObject(ctx, bucket, object.Key, minio.RemoveObjectOptions{VersionID: object.VersionID})
	}
	return nil
}
