package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	storage "github.com/eu-sovereign-cloud/go-sdk/pkg/spec/foundation.storage.v1"
	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/pkg/types"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
	"github.com/eu-sovereign-cloud/go-sdk/secapi/builders"
)

// discover finds the region, its providers, a SKU and the image.
func (p *place) discover(ctx context.Context) {
	tenant := secapi.TenantPath{Tenant: secapi.TenantID(p.tenant)}
	p.step("region", func() error {
		regions, err := list(p.global.RegionV1.ListRegions(ctx))
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(regions, func(r *schema.Region) bool { return r.Metadata.Name == p.region }) {
			return errors.New("the list of regions does not have it")
		}
		p.sdk, err = p.global.NewRegionalClient(ctx, p.region)
		return err
	})
	p.step("SKUs by label", func() error {
		wanted := builders.NewLabelsBuilder().Equals("provider", "hetzner").Equals("architecture", "amd64").Lte("disk", 80)
		options := secapi.NewListOptions().WithLabels(wanted).WithLimit(2)
		skus, err := list(p.sdk.ComputeV1.ListSkusWithOptions(ctx, tenant, options))
		if err != nil || len(skus) == 0 {
			return errors.Join(err, errors.New("no SKU has the labels"))
		}
		for _, sku := range skus {
			if sku.Labels["architecture"] != "amd64" || sku.Metadata.Region != p.region {
				return fmt.Errorf("nobody asked for %s in %s with %v", sku.Metadata.Name, sku.Metadata.Region, sku.Labels)
			}
		}
		least := slices.MinFunc(skus, func(a, b *schema.InstanceSku) int { return a.Spec.Ram - b.Spec.Ram })
		p.sku = least.Metadata.Name
		one, err := p.sdk.ComputeV1.GetSku(ctx, p.inTenant(p.sku))
		if err != nil {
			return err
		}
		return compare(least, one, p.region)
	})
	p.step("image", func() error {
		image, err := p.sdk.StorageV1.GetImage(ctx, p.inTenant(p.image))
		if err == nil && image.Metadata.Region != p.region {
			err = fmt.Errorf("it is in %s", image.Metadata.Region)
		}
		return err
	})
}

func (p *place) create(ctx context.Context) {
	if p.dead {
		return
	}
	p.things = p.all()
	for _, thing := range p.things {
		p.step(thing.name, func() error {
			// Even one that failed may be there.
			p.made++
			return thing.put(ctx)
		})
	}
}

// inspect looks at what the lists have, and at what happens to a change.
func (p *place) inspect(ctx context.Context) {
	p.step("lists", func() error {
		tenant, mine := secapi.TenantPath{Tenant: secapi.TenantID(p.tenant)}, p.path()
		workspaces, err := list(p.sdk.WorkspaceV1.ListWorkspaces(ctx, tenant))
		disks, err2 := list(p.sdk.StorageV1.ListBlockStorages(ctx, mine))
		instances, err3 := list(p.sdk.ComputeV1.ListInstancesWithOptions(ctx, mine, secapi.NewListOptions()))
		nics, err4 := list(p.sdk.NetworkV1.ListNics(ctx, mine))
		if err := errors.Join(err, err2, err3, err4); err != nil {
			return err
		}
		if len(disks) != 2 || len(instances) != 1 || len(nics) != 1 {
			return fmt.Errorf("%d disks, %d instances, %d NICs, not 2, 1, 1", len(disks), len(instances), len(nics))
		}
		return errors.Join(within(p.region, workspaces), within(p.region, disks),
			within(p.region, instances), within(p.region, nics))
	})
	p.step("a larger disk", func() error {
		before, err := p.sdk.StorageV1.GetBlockStorage(ctx, p.inWorkspace("data"))
		if err != nil {
			return err
		}
		// As Terraform does: the whole document, as it was read, with one change.
		before.Spec.SizeGB = 12
		version := int(before.Metadata.ResourceVersion)
		put := func() error {
			params := &storage.CreateOrUpdateBlockStorageParams{IfUnmodifiedSince: &version}
			_, err := p.sdk.StorageV1.CreateOrUpdateBlockStorageWithParams(ctx, before, params)
			return err
		}
		if err := put(); err != nil {
			return err
		}
		p.data.Spec.SizeGB = 12
		if err := put(); !errors.Is(err, secapi.ErrRequestPreconditionFailed) {
			return fmt.Errorf("a change of a version that is no more was not refused: %v", err)
		}
		active := p.until(schema.ResourceStateActive)
		grown, err := p.sdk.StorageV1.GetBlockStorageUntilState(ctx, p.inWorkspace("data"), active)
		if err == nil && grown.Status.SizeGB != 12 {
			err = fmt.Errorf("it has %d GB", grown.Status.SizeGB)
		}
		return err
	})
}

// power starts, restarts and stops the instance. Once it is active again, its power state is settled.
func (p *place) power(ctx context.Context) {
	if p.dead {
		return
	}
	api := p.sdk.ComputeV1
	for _, action := range []struct {
		name  string
		ask   func(context.Context, *schema.Instance) error
		power schema.InstanceStatusPowerState
	}{
		{"start", api.StartInstance, schema.InstanceStatusPowerStateOn},
		{"restart", api.RestartInstance, schema.InstanceStatusPowerStateOn},
		{"stop", api.StopInstance, schema.InstanceStatusPowerStateOff},
	} {
		p.step(action.name, func() error {
			if err := action.ask(ctx, &schema.Instance{Metadata: p.metadata(instance)}); err != nil {
				return err
			}
			active, err := api.GetInstanceUntilState(ctx, p.inWorkspace(instance), p.until(schema.ResourceStateActive))
			if err != nil {
				return err
			}
			if active.Status.PowerState != action.power || active.Status.PowerStateSince == nil {
				return fmt.Errorf("it is active and %s since %v", active.Status.PowerState, active.Status.PowerStateSince)
			}
			once := secapi.ResourceObserverUntilValueConfig[schema.InstanceStatusPowerState]{
				ExpectedValues: []schema.InstanceStatusPowerState{action.power}, Interval: p.interval, MaxAttempts: 1,
			}
			_, err = api.GetInstanceUntilPowerState(ctx, p.inWorkspace(instance), once)
			return err
		})
	}
}

// survive checks that everything is as it was.
func (p *place) survive(ctx context.Context) {
	for _, thing := range p.things[:p.made] {
		p.step(thing.name+" is still there", func() error { return thing.check(ctx) })
	}
}

// destroy deletes the last one first, each after the other is gone; also after a failure, what there is.
func (p *place) destroy(ctx context.Context) {
	for _, thing := range slices.Backward(p.things[:p.made]) {
		p.row("no "+thing.name, p.region, func() error { return thing.delete(ctx) })
	}
}

// list reads all pages of what a list call of the SDK returns.
func list[R types.ResourceType](pages *secapi.Iterator[R], err error) ([]*R, error) {
	if err != nil {
		return nil, err
	}
	return pages.All(context.Background())
}

// within checks that all of a list is in one region.
func within[R any](region string, resources []*R) error {
	for _, resource := range resources {
		metadata, _ := members(resource)["metadata"].(map[string]any)
		if metadata["region"] != region {
			return fmt.Errorf("the list has %v of region %v", metadata["ref"], metadata["region"])
		}
	}
	return nil
}
