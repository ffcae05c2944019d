package s3test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"

	"github.com/minio/minio-go/v7"
)

// AddWriter adds an account with the access key and the SecretKey, and lets it list, read and put objects in a bucket, which is made if it is
// not there, and lock them for longer; but delete nothing. The server has to have Accounts.
func (s *Server) AddWriter(access, bucket string) error {
	create := exec.Command(s.program, "admin", "--access", AccessKey, "--secret", SecretKey, "--endpoint-url", "http://"+s.Proxy.Addr(),
		"create-user", "--access", access, "--secret", SecretKey, "--role", "user")
	if out, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("add account: %v: %s", err, out)
	}
	client, err := s.Client()
	if err != nil {
		return err
	}
	ctx := context.Background()
	there, err := client.BucketExists(ctx, bucket)
	if err == nil && !there {
		err = client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: "us-east-1"})
	}
	if err != nil {
		return err
	}
	allow := func(resource string, actions ...string) map[string]any {
		return map[string]any{"Effect": "Allow", "Principal": []string{access}, "Action": actions, "Resource": []string{"arn:aws:s3:::" + bucket + resource}}
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{
		allow("", "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketObjectLockConfiguration"),
		allow("/*", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:GetObjectRetention", "s3:PutObjectRetention", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
	}})
	if err != nil {
		return err
	}
	return client.SetBucketPolicy(ctx, bucket, string(policy))
}
