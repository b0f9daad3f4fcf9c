module secapi-proxy-hetzner/examples/go-sdk

go 1.24.0

require github.com/eu-sovereign-cloud/go-sdk v0.4.3
