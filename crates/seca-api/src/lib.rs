#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod key;
pub mod kind;
pub mod metadata;
pub mod names;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod operation;
pub mod problem;
pub mod reference;
pub mod resource;
pub mod schema;
pub mod selector;
mod serial;
pub mod specs;
pub mod status;
pub mod system_roles;
pub mod timestamp;
pub mod violation;
pub mod wellknown;

pub use key::ResourceKey;
pub use kind::{Kind, Provider, Scope};
pub use metadata::{ListMetadata, Metadata, Modification};
pub use names::{NameError, NetworkName, RegionName, ResourceName, TenantName, WorkspaceName, name_violation};
pub use operation::{Operation, Parameter, Place};
pub use problem::{ErrorSource, Problem, ProblemKind};
pub use reference::{Reference, ReferenceError, Target};
pub use resource::{Cidr, Conditions, Draft, List, NoStatus, Resource, Status, TextMap};
pub use schema::{Field, Normalized, TextRule, Type, check, immutable_fields, normalize, spec_schema};
pub use selector::{Selector, SelectorError};
pub use specs::{
    block_storage::{BlockStorage, BlockStorageSpec, BlockStorageStatus, VolumeReference, VolumeType},
    image::{Boot, CpuArchitecture, Image, ImageSpec, ImageStatus, Initializer},
    instance::{Instance, InstanceSpec, InstanceStatus, PowerState},
    instance_sku::{InstanceSku, InstanceSkuSpec},
    internet_gateway::{InternetGateway, InternetGatewaySpec},
    network::{Network, NetworkSpec, NetworkStatus},
    network_sku::{NetworkSku, NetworkSkuSpec},
    nic::{Nic, NicSpec, NicStatus},
    public_ip::{IpVersion, PublicIp, PublicIpSpec, PublicIpStatus},
    region::{Region, RegionProvider, RegionSpec},
    role::{Permission, Role, RoleSpec},
    role_assignment::{RoleAssignment, RoleAssignmentScope, RoleAssignmentSpec},
    route_table::{RouteSpec, RouteStatus, RouteTable, RouteTableSpec, RouteTableStatus},
    security_group::{SecurityGroup, SecurityGroupSpec, SecurityGroupStatus},
    security_group_rule::{Direction, IcmpConfig, Ports, Protocol, SecurityGroupRule, SecurityGroupRuleSpec},
    storage_sku::{StorageSku, StorageSkuSpec, StorageType},
    subnet::{Subnet, SubnetSpec, SubnetStatus},
    workspace::{Workspace, WorkspaceSpec, WorkspaceStatus},
};
pub use status::{ResourceState, StatusCondition};
pub use system_roles::{SYSTEM_ROLES, SystemRole};
pub use timestamp::{Timestamp, TimestampError};
pub use violation::Violation;
pub use wellknown::{Wellknown, WellknownEndpoint};
