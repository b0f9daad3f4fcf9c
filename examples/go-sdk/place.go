package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	compute "github.com/eu-sovereign-cloud/go-sdk/pkg/spec/foundation.compute.v1"
	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
	"github.com/eu-sovereign-cloud/go-sdk/secapi/builders"
)

// The names, the same in every region.
const (
	workspace = "go-sdk"
	network   = "net"
	name      = "web"
)

// place is one region with the client that the SDK makes for it.
type place struct {
	settings
	*table
	global *secapi.GlobalClient
	sdk    *secapi.RegionalClient
	region string
	sku    string
	// What was made, in its order. Nil as long as something before it failed.
	made []resource
	dead bool
}

// resource is what can be done with one, whatever its kind.
type resource struct {
	name                string
	put, delete, absent func(context.Context) error
}

func newPlace(s settings, t *table, global *secapi.GlobalClient, region string) *place {
	return &place{settings: s, table: t, global: global, region: region}
}

// step runs a step, unless one before it failed.
func (p *place) step(name string, run func() error) {
	p.dead = p.dead || !p.row(name, p.region, run)
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
	return resource{
		name: name,
		put: func(ctx context.Context) error {
			answer, err := put(ctx, document)
			if err != nil {
				return err
			}
			if err := compare(document, answer, p.region); err != nil {
				return fmt.Errorf("the answer to the PUT: %w", err)
			}
			active, err := observe(ctx, reference, p.until(schema.ResourceStateActive))
			if err != nil {
				return fmt.Errorf("waiting until it is active: %w", err)
			}
			return compare(document, active, p.region)
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
		absent: func(ctx context.Context) error { return remove(ctx, document) },
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

func to(resource string) *schema.Reference { return &schema.Reference{Resource: resource} }

// discover finds the region, its providers, a SKU and the image.
func (p *place) discover(ctx context.Context) {
	p.step("region", func() error {
		all, err := iterate(ctx)(p.global.RegionV1.ListRegions(ctx))
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(r *schema.Region) bool { return r.Metadata.Name == p.region }) {
			return errors.New("the list of regions has no such region")
		}
		p.sdk, err = p.global.NewRegionalClient(ctx, p.region)
		return err
	})
	p.step("SKUs by label", func() error {
		labels := builders.NewLabelsBuilder().Equals("provider", "hetzner").Equals("architecture", "amd64").Lte("disk", 80)
		options := secapi.NewListOptions().WithLabels(labels).WithLimit(2)
		skus, err := iterate(ctx)(p.sdk.ComputeV1.ListSkusWithOptions(ctx, secapi.TenantPath{Tenant: secapi.TenantID(p.tenant)}, options))
		if err != nil {
			return err
		}
		for _, sku := range skus {
			if sku.Labels["architecture"] != "amd64" || sku.Metadata.Region != p.region {
				return fmt.Errorf("%s of region %s with the labels %v was not asked for", sku.Metadata.Name, sku.Metadata.Region, sku.Labels)
			}
		}
		if len(skus) == 0 {
			return errors.New("no SKU has the labels")
		}
		least := slices.MinFunc(skus, func(a, b *schema.InstanceSku) int { return a.Spec.VCPU*1000 + a.Spec.Ram - b.Spec.VCPU*1000 - b.Spec.Ram })
		p.sku = least.Metadata.Name
		one, err := p.sdk.ComputeV1.GetSku(ctx, p.inTenant(p.sku))
		if err != nil {
			return err
		}
		return compare(least, one, p.region)
	})
	p.step("image", func() error {
		image, err := p.sdk.StorageV1.GetImage(ctx, p.inTenant(p.image))
		if err != nil {
			return err
		}
		return compare(image, image, p.region)
	})
}
