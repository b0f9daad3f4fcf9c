//! The kinds, one row each: where its schema stands, a document with every member set, a change, and what is
//! judged beyond the limits.

use control_plane::kinds;
use seca_api::Kind;
use serde_json::{Value, json};

use crate::stack::{BASE, REGION};

/// Where a resource is, and where what it names is.
#[derive(Clone, Debug)]
pub struct Place {
    pub tenant: &'static str,
    pub workspace: String,
    pub network: String,
}

impl Place {
    /// The place of what every test may name.
    pub fn base(tenant: &'static str) -> Self {
        Self { tenant, workspace: BASE.to_owned(), network: BASE.to_owned() }
    }
}

/// A body for a resource, made for where it lies.
pub type Body = fn(&Place) -> Value;

/// A kind.
pub struct Row {
    pub kind: Kind,
    /// `provider`, `kind` and the collection in `resource` of its metadata: secatest.md §3.1.
    pub named: [&'static str; 3],
    /// The file and the name of its schema.
    pub schema: (&'static str, &'static str),
    /// A specification with every member set that the schema knows.
    pub spec: fn(&Place) -> Value,
    /// A member that a client may change, and what to.
    pub change: (&'static str, fn(&Place) -> Value),
    /// Members of which the specification or the provider asks more than their limits, and what: a value within
    /// the limits may be refused for it. `*` stands for an index.
    pub judged: &'static [(&'static str, &'static str)],
    /// Further resources of the kind, by name, that documents of later kinds name.
    pub beside: &'static [(&'static str, Body)],
}

/// The name of what is beside [`BASE`].
pub const SECOND: &str = "second";

/// All kinds that clients write, in the order in which they can be created.
pub static TABLE: [Row; 14] = [
    Row {
        kind: Kind::Workspace,
        named: ["seca.workspace/v1", "workspace", "workspaces"],
        schema: ("workspace.yaml", "Workspace"),
        spec: |_| json!({"purpose": {"of": ["anything", 1, true]}}),
        change: ("/spec/purpose", |_| json!("another")),
        judged: &[],
        beside: &[],
    },
    Row {
        kind: Kind::Network,
        named: ["seca.network/v1", "network", "networks"],
        schema: ("network.yaml", "Network"),
        spec: |_| {
            json!({
                "cidr": {"ipv4": "10.0.0.0/16", "ipv6": "fd00::/56"},
                "additionalCidrs": [{"ipv4": "10.1.0.0/16", "ipv6": "fd01::/56"}],
                "skuRef": {"resource": "skus/hcloud-network"}
            })
        },
        change: ("/spec/additionalCidrs/0/ipv4", |_| json!("10.2.0.0/16")),
        judged: &[("/spec/cidr/ipv4", "§2.5: a private block; at Hetzner a /24 or larger")],
        beside: &[],
    },
    Row {
        kind: Kind::InternetGateway,
        named: ["seca.network/v1", "internet-gateway", "internet-gateways"],
        schema: ("internet-gateway.yaml", "InternetGateway"),
        spec: |_| json!({"egressOnly": false}),
        change: ("/spec/egressOnly", |_| json!(true)),
        judged: &[],
        beside: &[],
    },
    Row {
        kind: Kind::RouteTable,
        named: ["seca.network/v1", "routing-table", "networks/base/route-tables"],
        schema: ("route-table.yaml", "RouteTable"),
        spec: |_| {
            let gateway = json!({"resource": "internet-gateways/base"});
            json!({"routes": [{"destinationCidrBlock": "0.0.0.0/0", "targetRef": gateway}]})
        },
        change: ("/spec/routes/0/destinationCidrBlock", |_| json!("192.168.0.0/24")),
        judged: &[],
        beside: &[],
    },
    Row {
        kind: Kind::Subnet,
        named: ["seca.network/v1", "subnet", "networks/base/subnets"],
        schema: ("subnet.yaml", "Subnet"),
        spec: |_| {
            json!({
                "cidr": {"ipv4": "10.0.1.0/24", "ipv6": "fd00::/64"},
                "zone": REGION,
                "routeTableRef": {"resource": "route-tables/base"},
                "skuRef": {"resource": "skus/hcloud-network"}
            })
        },
        change: ("/spec/cidr/ipv6", |_| json!("fd00:0:0:1::/64")),
        judged: &[
            ("/spec/cidr/ipv4", "§2.5: within the network; at Hetzner a /30 or larger"),
            ("/spec/zone", "§3.13: a zone of the region"),
        ],
        beside: &[],
    },
    Row {
        kind: Kind::SecurityGroupRule,
        named: ["seca.network/v1", "security-group-rule", "security-group-rules"],
        schema: ("security-group-rule.yaml", "SecurityGroupRule"),
        spec: |_| rule(),
        change: ("/spec/direction", |_| json!("egress")),
        judged: &[("/spec/ports/from", "a range begins before it ends")],
        beside: &[],
    },
    Row {
        kind: Kind::SecurityGroup,
        named: ["seca.network/v1", "security-group", "security-groups"],
        schema: ("security-group.yaml", "SecurityGroup"),
        spec: |_| json!({"rules": [rule()], "ruleRefs": [{"resource": "security-group-rules/base"}]}),
        change: ("/spec/rules/0/direction", |_| json!("egress")),
        judged: &[("/spec/rules/*/ports/from", "a range begins before it ends")],
        beside: &[],
    },
    Row {
        kind: Kind::PublicIp,
        named: ["seca.network/v1", "public-ip", "public-ips"],
        schema: ("public-ip.yaml", "PublicIp"),
        spec: |_| json!({"version": "IPv4", "address": "203.0.113.7"}),
        change: ("/spec/address", |_| json!("203.0.113.8")),
        judged: &[("/spec/address", "an address of the version")],
        beside: &[],
    },
    Row {
        kind: Kind::Nic,
        named: ["seca.network/v1", "nic", "nics"],
        schema: ("nic.yaml", "Nic"),
        spec: |place| {
            json!({
                "securityGroupRefs": [{"resource": "security-groups/base"}],
                "addresses": ["10.0.1.9"],
                "publicIpRefs": [{"resource": "public-ips/base"}],
                "skuRef": {"resource": "skus/hcloud-network"},
                "subnetRef": {"resource": format!("networks/{}/subnets/base", place.network)}
            })
        },
        change: ("/spec/addresses/0", |_| json!("10.0.1.10")),
        judged: &[
            ("/spec/addresses/*", "§2.5: within the subnet"),
            ("/spec/addresses", "each once; at Hetzner at most 6 in a network"),
            ("/spec/publicIpRefs", "each once"),
        ],
        beside: &[(SECOND, |place| {
            let subnet = json!({"resource": format!("networks/{}/subnets/base", place.network)});
            json!({"addresses": ["10.0.1.19"], "subnetRef": subnet})
        })],
    },
    Row {
        kind: Kind::BlockStorage,
        named: ["seca.storage/v1", "block-storage", "block-storages"],
        schema: ("block-storage.yaml", "BlockStorage"),
        spec: |_| {
            json!({
                "skuRef": {"resource": "skus/hcloud-volume"},
                "sizeGB": 20,
                "sourceImageRef": {"resource": "images/ubuntu-24.04"}
            })
        },
        change: ("/spec/sizeGB", |_| json!(30)),
        judged: &[],
        beside: &[(SECOND, |_| json!({"skuRef": {"resource": "skus/hcloud-volume"}, "sizeGB": 10}))],
    },
    Row {
        kind: Kind::Image,
        named: ["seca.storage/v1", "image", "images"],
        schema: ("image.yaml", "Image"),
        spec: |place| {
            let disk = format!("workspaces/{}/block-storages/base", place.workspace);
            json!({
                "blockStorageRef": {"resource": disk},
                "cpuArchitecture": "amd64",
                "initializer": "cloudinit-22",
                "boot": "UEFI"
            })
        },
        change: ("/spec/cpuArchitecture", |_| json!("arm64")),
        judged: &[],
        beside: &[],
    },
    Row {
        kind: Kind::Instance,
        named: ["seca.compute/v1", "instance", "instances"],
        schema: ("instance.yaml", "Instance"),
        spec: |_| {
            json!({
                "skuRef": {"resource": "skus/cx23"},
                "primaryNicRef": {"resource": "nics/base"},
                "additionalNicRefs": [{"resource": "nics/second"}],
                "zone": REGION,
                "securityGroupRef": {"resource": "security-groups/base"},
                "userData": "#cloud-config",
                "antiAffinityGroup": "apart",
                "sshKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4aWzyVWvYQ0RyqvYz4Yq2n0cWm0rV2m1b1n3m4c5d6 tested"],
                "bootVolume": {"deviceRef": {"resource": "block-storages/base"}, "type": "virtio"},
                "dataVolumes": [{"deviceRef": {"resource": "block-storages/second"}, "type": "virtio"}]
            })
        },
        change: ("/spec/bootVolume/type", |_| json!("")),
        judged: &[
            ("/spec/zone", "§3.13: a zone of the region"),
            ("/spec/userData", "at Hetzner at most 32,768 bytes, packed or not"),
            ("/spec/additionalNicRefs", "each once"),
            ("/spec/dataVolumes", "each once; at Hetzner at most 16"),
        ],
        beside: &[],
    },
    Row {
        kind: Kind::Role,
        named: ["seca.authorization/v1", "role", "roles"],
        schema: ("rbac.yaml", "Role"),
        spec: |_| {
            let permission = json!({"provider": "seca.storage/v1", "resources": ["images/*"], "verb": ["GET"]});
            json!({"permissions": [permission]})
        },
        change: ("/spec/permissions/0/verb", |_| json!(["GET", "PUT"])),
        judged: &[
            ("/spec/permissions/*/provider", "§3.10: a known provider"),
            ("/spec/permissions/*/resources/*", "§3.10: a pattern of resources"),
            ("/spec/permissions/*/verb/*", "§3.10: a known verb"),
        ],
        beside: &[],
    },
    Row {
        kind: Kind::RoleAssignment,
        named: ["seca.authorization/v1", "role-assignment", "role-assignments"],
        schema: ("rbac.yaml", "RoleAssignment"),
        spec: |place| {
            let scope = json!({"tenants": [place.tenant], "regions": [REGION], "workspaces": [place.workspace]});
            json!({"subs": ["user@example.com"], "scopes": [scope], "roles": ["base"]})
        },
        change: ("/spec/subs", |_| json!(["user@example.com", "user@example.com"])),
        judged: &[
            ("/spec/roles/*", "§3.13: a known role"),
            ("/spec/scopes/*", "no member that nobody knows: without it the scope would be wider"),
            ("/spec/scopes/*/tenants/*", "§3.13: a known tenant"),
            ("/spec/scopes/*/regions/*", "§3.13: a known region"),
        ],
        beside: &[],
    },
];

/// A rule of a security group.
fn rule() -> Value {
    json!({
        "annotations": {"tested": "yes"},
        "direction": "ingress",
        "version": "IPv4",
        "protocol": "tcp",
        "ports": {"from": 80, "to": 443, "list": [8080]},
        "icmp": {"type": 8, "code": 0},
        "sourceRef": [{"resource": "10.0.0.0/8"}]
    })
}

/// The rows of the kinds that this release serves.
pub fn served() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(|row| kinds::served().contains(&row.kind))
}

/// The row of a kind.
pub fn row(kind: Kind) -> &'static Row {
    TABLE.iter().find(|row| row.kind == kind).unwrap_or_else(|| panic!("{kind} is not in the table"))
}

impl Row {
    /// What a client sends: every member that it owns.
    pub fn document(&self, place: &Place) -> Value {
        json!({
            "labels": {"tested": "yes"},
            "annotations": {"tested": "yes"},
            "extensions": {"tested": "yes"},
            "spec": (self.spec)(place)
        })
    }

    /// What a client sends for what is beside it, by name.
    pub fn others(&self, place: &Place) -> Vec<(&'static str, Value)> {
        self.beside.iter().map(|(name, spec)| (*name, json!({"spec": spec(place)}))).collect()
    }

    /// The same after the change.
    pub fn changed(&self, place: &Place) -> Value {
        let mut document = self.document(place);
        let (pointer, value) = self.change;
        *document.pointer_mut(pointer).unwrap() = value(place);
        document
    }

    /// Whether more than its limits is asked of a member.
    pub fn is_judged(&self, pointer: &str) -> bool {
        self.judged.iter().any(|(pattern, _)| {
            let (want, have): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), pointer.split('/').collect());
            let fits = |(want, have): (&&str, &&str)| want == have || *want == "*" && have.parse::<u32>().is_ok();
            want.len() == have.len() && want.iter().zip(&have).all(fits)
        })
    }
}

#[test]
fn the_table_has_every_kind_that_is_served() {
    for kind in kinds::served() {
        assert_eq!(TABLE.iter().filter(|row| row.kind == *kind).count(), 1, "{kind}");
    }
}
