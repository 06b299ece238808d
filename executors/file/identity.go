package file

import (
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/taskgrove/taskgrove/executors"
	"github.com/taskgrove/taskgrove/executors/network"
)

// credentials are the keys of inputs, or those that the worker's own identity gets. The latter are for connections alone: else any task could act
// as the worker.
func (in *input) credentials(call *executors.Call, dialer *network.Dialer) (*credentials.Credentials, error) {
	if in.Identity == "" {
		if in.AccessKey == "" || in.SecretKey == "" {
			return nil, invalid("access_key and secret_key are required in inputs for s3:// paths, or a connection")
		}
		return credentials.NewStaticV4(in.AccessKey, in.SecretKey, in.SessionToken), nil
	}
	if call.Connection == "" {
		return nil, invalid("identity is for connections, which the worker's operator makes: tasks have no part in the worker's identity")
	}
	switch in.Identity {
	case "web_identity":
		return in.webIdentity(dialer)
	case "instance":
		client := &http.Client{Transport: metadata.Pool("").RoundTripper(false), Timeout: 10 * time.Second}
		return credentials.New(&credentials.IAM{Client: client, Endpoint: metadataEndpoint, Region: in.Region}), nil
	}
	return nil, invalid("identity must be web_identity or instance")
}

// metadataEndpoint is empty but in tests: the library knows the services of Amazon's machines and containers.
var metadataEndpoint = ""

// metadata reaches the metadata services, which no other connection may, and nothing else that tasks could name.
var metadata = network.New(network.Config{Guard: network.Guard{
	Allow: []netip.Prefix{netip.MustParsePrefix("169.254.169.254/32"), netip.MustParsePrefix("169.254.170.2/32"), netip.MustParsePrefix("169.254.170.23/32"), netip.MustParsePrefix("fd00:ec2::254/128"), netip.MustParsePrefix("fd00:ec2::23/128")},
	Deny:  []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
}})

// webIdentity exchanges the token of a file, which is read again for each exchange, for keys.
func (in *input) webIdentity(dialer *network.Dialer) (*credentials.Credentials, error) {
	role, file, endpoint := in.RoleARN, in.TokenFile, in.STSEndpoint
	if role == "" {
		role = os.Getenv("AWS_ROLE_ARN")
	}
	if file == "" {
		file = os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	}
	if role == "" || file == "" {
		return nil, invalid("identity web_identity needs role_arn and token_file in the connection, or AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE of the worker")
	}
	if endpoint == "" {
		endpoint = "https://sts.amazonaws.com"
		if in.Region != "" {
			endpoint = "https://sts." + in.Region + ".amazonaws.com"
		}
	}
	return credentials.New(&credentials.STSWebIdentity{
		Client:      &http.Client{Transport: dialer.RoundTripper(false), Timeout: 30 * time.Second},
		STSEndpoint: endpoint, RoleARN: role,
		GetWebIDTokenExpiry: func() (*credentials.WebIdentityToken, error) {
			token, err := os.ReadFile(file)
			if err != nil {
				return nil, bare(err)
			}
			return &credentials.WebIdentityToken{Token: string(token)}, nil
		},
	}), nil
}
