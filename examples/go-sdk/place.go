package main

import (
	"context"
	"fmt"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// The names, the same in every region.
const (
	workspace = "go-sdk"
	network   = "net"
	instance  = "web"
)

// place is one region with the client that the SDK makes for it.
type place struct {
	settings
	*table
	global *secapi.GlobalClient
	sdk    *secapi.RegionalClient
	region string
	sku    string
	// The disk that grows.
	data *schema.BlockStorage
	// Everything that is made, in an order in which it can be.
	things []resource
	// How many of them were.
	made int
	dead bool
}

// resource is what can be done with one, whatever its kind: each call returns when the SDK has seen it come true.
type resource struct {
	name               string
	put, check, delete func(context.Context) error
}

func newPlace(s settings, t *table, global *secapi.GlobalClient, region string) *place {
	return &place{settings: s, table: t, global: global, region: region}
}

// step runs a step, unless one before it failed.
func (p *place) step(name string, run func() error) {
	if !p.dead {
		p.dead = !p.row(name, p.region, run)
	}
}

func (p *place) until(state schema.ResourceState) secapi.ResourceObserverUntilValueConfig[schema.ResourceState] {
	return secapi.ResourceObserverUntilValueConfig[schema.ResourceState]{
		ExpectedValues: []schema.ResourceState{state}, Delay: p.delay, Interval: p.interval, MaxAttempts: p.attempts,
	}
}

func (p *place) gone() secapi.ResourceObserverConfig {
	return secapi.ResourceObserverConfig{Delay: p.delay, Interval: p.interval, MaxAttempts: p.attempts}
}

// describe makes a resource of a document and the four functions that the SDK has for its kind.
func describe[R, N any](p *place, name string, document *R, reference N,
	put func(context.Context, *R) (*R, error),
	observe func(context.Context, N, secapi.ResourceObserverUntilValueConfig[schema.ResourceState]) (*R, error),
	remove func(context.Context, *R) error,
	watch func(context.Context, N, secapi.ResourceObserverConfig) error,
) resource {
	check := func(ctx context.Context) error {
		active, err := observe(ctx, reference, p.until(schema.ResourceStateActive))
		if err != nil {
			return fmt.Errorf("waiting until it is active: %w", err)
		}
		return compare(document, active, p.region)
	}
	return resource{
		name:  name,
		check: check,
		put: func(ctx context.Context) error {
			answer, err := put(ctx, document)
			if err != nil {
				return err
			}
			if err := compare(document, answer, p.region); err != nil {
				return fmt.Errorf("the answer to the PUT: %w", err)
			}
			return check(ctx)
		},
		delete: func(ctx context.Context) error {
			if err := remove(ctx, document); err != nil {
				return err
			}
			if err := watch(ctx, reference, p.gone()); err != nil {
				return fmt.Errorf("waiting until it is gone: %w", err)
			}
			return nil
		},
	}
}

func (p *place) inTenant(name string) secapi.TenantReference {
	return secapi.TenantReference{Tenant: secapi.TenantID(p.tenant), Name: name}
}

func (p *place) inWorkspace(name string) secapi.WorkspaceReference {
	return secapi.WorkspaceReference{Tenant: secapi.TenantID(p.tenant), Workspace: workspace, Name: name}
}

func (p *place) inNetwork(name string) secapi.NetworkReference {
	return secapi.NetworkReference{Tenant: secapi.TenantID(p.tenant), Workspace: workspace, Network: network, Name: name}
}

func (p *place) path() secapi.WorkspacePath {
	return secapi.WorkspacePath{Tenant: secapi.TenantID(p.tenant), Workspace: workspace}
}
