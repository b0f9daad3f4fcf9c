package main

import (
	"context"
	"slices"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// A key that nobody has the other half of.
const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6 go-sdk"

func to(resource string) schema.Reference { return schema.Reference{Resource: resource} }

func at(resource string) *schema.Reference {
	reference := to(resource)
	return &reference
}

// tenantMetadata, metadata and networkMetadata name a resource and what it is in. The region stays empty, and so does
// what is the server's.
func (p *place) tenantMetadata(name string) *schema.RegionalResourceMetadata {
	return &schema.RegionalResourceMetadata{Name: name, Tenant: p.tenant}
}

func (p *place) metadata(name string) *schema.RegionalWorkspaceResourceMetadata {
	return &schema.RegionalWorkspaceResourceMetadata{Name: name, Tenant: p.tenant, Workspace: workspace}
}

func (p *place) networkMetadata(name string) *schema.RegionalNetworkResourceMetadata {
	return &schema.RegionalNetworkResourceMetadata{Name: name, Tenant: p.tenant, Workspace: workspace, Network: network}
}

// all describes everything, in an order in which it can be made.
func (p *place) all() []resource {
	labels := schema.Labels{"in": p.region}
	disks, net := p.sdk.StorageV1, p.sdk.NetworkV1
	p.data = &schema.BlockStorage{Labels: labels, Metadata: p.metadata("data"), Spec: schema.BlockStorageSpec{
		SizeGB: 10, SkuRef: to("skus/hcloud-volume"),
	}}
	return []resource{
		describe(p, "workspace", &schema.Workspace{
			Labels: labels, Metadata: p.tenantMetadata(workspace),
		}, p.inTenant(workspace),
			p.sdk.WorkspaceV1.CreateOrUpdateWorkspace, p.sdk.WorkspaceV1.GetWorkspaceUntilState,
			p.sdk.WorkspaceV1.DeleteWorkspace, p.sdk.WorkspaceV1.WatchWorkspaceUntilDeleted),
		describe(p, "boot disk", &schema.BlockStorage{
			Labels: labels, Metadata: p.metadata("boot"), Spec: schema.BlockStorageSpec{
				SizeGB: 20, SkuRef: to("skus/hcloud-volume"), SourceImageRef: at("images/" + p.image),
			},
		}, p.inWorkspace("boot"),
			disks.CreateOrUpdateBlockStorage, disks.GetBlockStorageUntilState,
			disks.DeleteBlockStorage, disks.WatchBlockStorageUntilDeleted),
		describe(p, "data disk", p.data, p.inWorkspace("data"),
			disks.CreateOrUpdateBlockStorage, disks.GetBlockStorageUntilState,
			disks.DeleteBlockStorage, disks.WatchBlockStorageUntilDeleted),
		describe(p, "network", &schema.Network{Labels: labels, Metadata: p.metadata(network), Spec: schema.NetworkSpec{
			Cidr: schema.Cidr{Ipv4: "10.0.0.0/16"}, SkuRef: to("skus/hcloud-network"),
		}}, p.inWorkspace(network),
			net.CreateOrUpdateNetwork, net.GetNetworkUntilState, net.DeleteNetwork, net.WatchNetworkUntilDeleted),
		describe(p, "internet gateway", &schema.InternetGateway{
			Labels: labels, Metadata: p.metadata("out"),
		}, p.inWorkspace("out"),
			net.CreateOrUpdateInternetGateway, net.GetInternetGatewayUntilState,
			net.DeleteInternetGateway, net.WatchInternetGatewayUntilDeleted),
		describe(p, "route table", &schema.RouteTable{
			Labels: labels, Metadata: p.networkMetadata("main"), Spec: schema.RouteTableSpec{
				Routes: []schema.RouteSpec{{DestinationCidrBlock: "0.0.0.0/0", TargetRef: to("internet-gateways/out")}},
			},
		}, p.inNetwork("main"),
			net.CreateOrUpdateRouteTable, net.GetRouteTableUntilState,
			net.DeleteRouteTable, net.WatchRouteTableUntilDeleted),
		describe(p, "subnet", &schema.Subnet{Labels: labels, Metadata: p.networkMetadata("front"), Spec: schema.SubnetSpec{
			Cidr: schema.Cidr{Ipv4: "10.0.1.0/24"}, RouteTableRef: to("route-tables/main"),
		}}, p.inNetwork("front"),
			net.CreateOrUpdateSubnet, net.GetSubnetUntilState, net.DeleteSubnet, net.WatchSubnetUntilDeleted),
		describe(p, "security group rule", &schema.SecurityGroupRule{
			Labels: labels, Metadata: p.metadata("http"), Spec: schema.SecurityGroupRuleSpec{
				Direction: schema.SecurityGroupRuleDirectionIngress, Protocol: schema.SecurityGroupRuleProtocolTCP,
				Ports: &schema.Ports{List: []schema.Port{80, 443}}, SourceRef: []schema.Reference{to("0.0.0.0/0")},
			},
		}, p.inWorkspace("http"),
			net.CreateOrUpdateSecurityGroupRule, net.GetSecurityGroupRuleUntilState,
			net.DeleteSecurityGroupRule, net.WatchSecurityGroupRuleUntilDeleted),
		describe(p, "security group", &schema.SecurityGroup{
			Labels: labels, Metadata: p.metadata("web"), Spec: schema.SecurityGroupSpec{
				RuleRefs: []schema.Reference{to("security-group-rules/http")},
			},
		}, p.inWorkspace("web"),
			net.CreateOrUpdateSecurityGroup, net.GetSecurityGroupUntilState,
			net.DeleteSecurityGroup, net.WatchSecurityGroupUntilDeleted),
		describe(p, "public IP", &schema.PublicIp{Labels: labels, Metadata: p.metadata("front"), Spec: schema.PublicIpSpec{
			Version: schema.IPVersionIPv4,
		}}, p.inWorkspace("front"),
			net.CreateOrUpdatePublicIp, net.GetPublicIpUntilState, net.DeletePublicIp, net.WatchPublicIpUntilDeleted),
		describe(p, "NIC", &schema.Nic{Labels: labels, Metadata: p.metadata("front"), Spec: schema.NicSpec{
			Addresses: []string{"10.0.1.9"}, SubnetRef: to("subnets/front"),
			PublicIpRefs:      []schema.Reference{to("public-ips/front")},
			SecurityGroupRefs: []schema.Reference{to("security-groups/web")},
		}}, p.inWorkspace("front"),
			net.CreateOrUpdateNic, net.GetNicUntilState, net.DeleteNic, net.WatchNicUntilDeleted),
		describe(p, "instance", &schema.Instance{Labels: labels, Metadata: p.metadata(instance), Spec: schema.InstanceSpec{
			SkuRef: to("skus/" + p.sku), Zone: p.region, AntiAffinityGroup: "apart",
			SshKeys: []string{sshKey}, UserData: "#cloud-config\n",
			BootVolume:    schema.VolumeReference{DeviceRef: to("block-storages/boot")},
			DataVolumes:   []schema.VolumeReference{{DeviceRef: to("block-storages/data")}},
			PrimaryNicRef: at("nics/front"),
		}}, p.inWorkspace(instance),
			p.sdk.ComputeV1.CreateOrUpdateInstance, p.sdk.ComputeV1.GetInstanceUntilState,
			p.sdk.ComputeV1.DeleteInstance, p.sdk.ComputeV1.WatchInstanceUntilDeleted),
	}
}

// roles are global: one life of a role and of an assignment, checked from the global client alone.
func roles(ctx context.Context, p *place, global *secapi.GlobalClient) {
	metadata := func(name string) *schema.GlobalTenantResourceMetadata {
		return &schema.GlobalTenantResourceMetadata{Name: name, Tenant: p.tenant}
	}
	api := global.AuthorizationV1
	things := []resource{
		describe(p, "role", &schema.Role{Metadata: metadata("go-sdk"), Spec: schema.RoleSpec{Permissions: []schema.Permission{
			{Provider: "seca.compute/v1", Resources: []string{"instances/*"}, Verb: []string{"get"}},
		}}}, p.inTenant("go-sdk"),
			api.CreateOrUpdateRole, api.GetRoleUntilState, api.DeleteRole, api.WatchRoleUntilDeleted),
		describe(p, "role assignment", &schema.RoleAssignment{Metadata: metadata("go-sdk"), Spec: schema.RoleAssignmentSpec{
			Roles: []string{"go-sdk"}, Subs: []string{"ann"},
			Scopes: []schema.RoleAssignmentScope{{Regions: p.settings.regions}},
		}}, p.inTenant("go-sdk"),
			api.CreateOrUpdateRoleAssignment, api.GetRoleAssignmentUntilState,
			api.DeleteRoleAssignment, api.WatchRoleAssignmentUntilDeleted),
	}
	for _, thing := range things {
		p.step(thing.name, func() error { return thing.put(ctx) })
	}
	for _, thing := range slices.Backward(things) {
		p.step("no "+thing.name, func() error { return thing.delete(ctx) })
	}
}
