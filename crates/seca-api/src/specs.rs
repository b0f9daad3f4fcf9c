//! The kinds, one file each: its row, its schema and its types. A kind is listed here three times, and nowhere else in
//! this crate.

use crate::kind::{KindRow, Specification, kinds};

mod block_storage;
mod image;
mod instance;
mod instance_sku;
mod internet_gateway;
mod network;
mod network_sku;
mod nic;
mod public_ip;
mod region;
mod role;
mod role_assignment;
mod route_table;
mod security_group;
mod security_group_rule;
mod storage_sku;
mod subnet;
mod workspace;

pub use block_storage::{BlockStorage, BlockStorageSpec, BlockStorageStatus, VolumeReference, VolumeType};
pub use image::{Boot, CpuArchitecture, Image, ImageSpec, ImageStatus, Initializer};
pub use instance::{Instance, InstanceSpec, InstanceStatus, PowerState};
pub use instance_sku::{InstanceSku, InstanceSkuSpec};
pub use internet_gateway::{InternetGateway, InternetGatewaySpec};
pub use network::{Network, NetworkSpec, NetworkStatus};
pub use network_sku::{NetworkSku, NetworkSkuSpec};
pub use nic::{Nic, NicSpec, NicStatus};
pub use public_ip::{IpVersion, PublicIp, PublicIpSpec, PublicIpStatus};
pub use region::{Region, RegionProvider, RegionSpec};
pub use role::{Permission, Role, RoleSpec};
pub use role_assignment::{RoleAssignment, RoleAssignmentScope, RoleAssignmentSpec};
pub use route_table::{RouteSpec, RouteStatus, RouteTable, RouteTableSpec, RouteTableStatus};
pub use security_group::{SecurityGroup, SecurityGroupSpec, SecurityGroupStatus};
pub use security_group_rule::{Direction, IcmpConfig, Ports, Protocol, SecurityGroupRule, SecurityGroupRuleSpec};
pub use storage_sku::{StorageSku, StorageSkuSpec, StorageType};
pub use subnet::{Subnet, SubnetSpec, SubnetStatus};
pub use workspace::{Workspace, WorkspaceSpec, WorkspaceStatus};

kinds! {
    Region region RegionSpec,
    Role role RoleSpec,
    RoleAssignment role_assignment RoleAssignmentSpec,
    Workspace workspace WorkspaceSpec,
    StorageSku storage_sku StorageSkuSpec,
    Image image ImageSpec,
    BlockStorage block_storage BlockStorageSpec,
    InstanceSku instance_sku InstanceSkuSpec,
    Instance instance InstanceSpec,
    NetworkSku network_sku NetworkSkuSpec,
    Network network NetworkSpec,
    Subnet subnet SubnetSpec,
    RouteTable route_table RouteTableSpec,
    InternetGateway internet_gateway InternetGatewaySpec,
    Nic nic NicSpec,
    PublicIp public_ip PublicIpSpec,
    SecurityGroup security_group SecurityGroupSpec,
    SecurityGroupRule security_group_rule SecurityGroupRuleSpec,
}
