package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// credentialTimeout bounds a request for credentials, to a service of the cloud
// that may not be there.
const credentialTimeout = 5 * time.Second

// findCredentials returns the first credentials that there are. From then on
// only this source is asked, also when it has to renew them: to fall back to
// another would be to sign with other rights, or not at all.
func findCredentials(ctx context.Context) (*credentials.Credentials, error) {
	client := &http.Client{Timeout: credentialTimeout}
	var errs []error
	for _, source := range sources() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c := credentials.New(source.provider)
		value, err := c.GetWithContext(&credentials.CredContext{Client: client})
		if err == nil && value.AccessKeyID != "" && value.SecretAccessKey != "" {
			return c, nil
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", source.name, err))
		}
	}
	return nil, fmt.Errorf("%w: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE: %w",
		fs.ErrPermission, errors.Join(errs...))
}

type source struct {
	name     string
	provider credentials.Provider
}

// sources returns where credentials are looked for, in order.
func sources() []source {
	list := []source{
		{"environment", &credentials.EnvAWS{}},
		{"profile", &credentials.FileAWSCredentials{}},
	}
	granted := os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" || os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" ||
		os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != ""
	if granted || !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		list = append(list, source{"role", &credentials.IAM{}})
	}
	return list
}
