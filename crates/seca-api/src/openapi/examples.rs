//! One body per kind that a client may send as it stands: together they make an instance with an address, a disk and a way
//! out.

use serde_json::{Value, json};

use crate::kind::Kind;

/// A body of a PUT; none for what clients do not write.
pub fn example(kind: Kind) -> Option<Value> {
    let spec = match kind {
        Kind::Workspace => json!({}),
        Kind::Network => json!({"cidr": {"ipv4": "10.20.0.0/16"}, "skuRef": "skus/hcloud-network"}),
        Kind::Subnet => json!({"cidr": {"ipv4": "10.20.1.0/24"}, "routeTableRef": "networks/net/route-tables/main"}),
        Kind::RouteTable => json!({
            "routes": [{"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/out"}],
        }),
        Kind::InternetGateway => json!({"egressOnly": true}),
        Kind::SecurityGroup => json!({
            "rules": [
                {"direction": "ingress", "protocol": "tcp", "ports": {"from": 22, "to": 22}, "sourceRef": ["203.0.113.7"]},
                {"direction": "egress", "protocol": "tcp+udp"},
            ],
        }),
        Kind::SecurityGroupRule => json!({"direction": "ingress", "protocol": "tcp", "ports": {"list": [80, 443]}}),
        Kind::PublicIp => json!({"version": "IPv4"}),
        Kind::Nic => json!({
            "subnetRef": "networks/net/subnets/front",
            "addresses": ["10.20.1.10"],
            "publicIpRefs": ["public-ips/front"],
            "securityGroupRefs": ["security-groups/web"],
        }),
        Kind::BlockStorage => json!({
            "skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": "images/ubuntu-24.04",
        }),
        Kind::Image => json!({
            "blockStorageRef": {"resource": "block-storages/boot", "workspace": "shop"},
            "cpuArchitecture": "amd64",
        }),
        Kind::Instance => json!({
            "skuRef": "skus/cx23",
            "zone": "fsn1",
            "primaryNicRef": "nics/front",
            "bootVolume": {"deviceRef": "block-storages/boot"},
            "sshKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx0Ny2GZ3Ht5Vqk7Qb4m0cVvN7PqT1yS8mE6dXwLz3K ada@example.org"],
        }),
        Kind::Role => json!({
            "permissions": [
                {"provider": "seca.compute/v1", "resources": ["instances/*"], "verb": ["get", "list"]},
            ],
        }),
        Kind::RoleAssignment => json!({
            "roles": ["seca.workspace-viewer"],
            "scopes": [{"tenants": ["dev"], "workspaces": ["shop"]}],
            "subs": ["ada@example.org"],
        }),
        _ => return None,
    };
    Some(json!({"labels": {"env": "trial"}, "spec": spec}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        operation::Operation,
        schema::{check, served_spec},
    };

    #[test]
    fn there_is_a_good_example_for_each_body() {
        for kind in Kind::ALL {
            let writes = Operation::of(kind).into_iter().any(|operation| operation == Operation::Put);
            let example = example(kind);
            assert_eq!(example.is_some(), writes, "{kind:?}");
            if let Some(example) = example {
                let violations = check(served_spec(kind), &example["spec"], "/spec");
                assert!(violations.is_empty(), "{kind:?}: {violations:?}");
            }
        }
    }
}
