//! Groups that are more than one server takes are refused where admission can know it.

use super::*;

/// Rules that let TCP in to so many ports, each from so many addresses; none can be joined with another.
fn rules(ports: u16, addresses: u8) -> Value {
    let ports: Vec<u16> = (0..ports).map(|n| 1_000 + 2 * n).collect();
    let from: Vec<String> = (0..addresses).map(|n| format!("192.0.2.{}", 2 * n)).collect();
    json!([{"direction": "ingress", "protocol": "tcp", "ports": {"list": ports}, "sourceRef": from}])
}

impl Product {
    /// What is said of a document that is refused.
    async fn refused(&self, kind: Kind, name: &str, spec: Value) -> String {
        let request = PutRequest { key: key(kind, name), body: json!({"spec": spec}), if_version: None };
        match self.control.put(self.context(), request).await {
            Ok(_) => panic!("{kind} {name} is accepted"),
            Err(refusal) => format!("{refusal:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn more_rules_than_a_server_takes_are_refused_at_the_put_that_brings_them() {
    let product = Product::start(Cloud::new(0.02));
    product.ready().await;
    // A group by itself.
    let two = |first: Value, second: Value| json!({"rules": [first[0], second[0]]});
    let said = product.refused(Kind::SecurityGroup, "large", two(rules(20, 20), rules(15, 30))).await;
    assert!(said.contains("/spec/rules") && said.contains("effective rules"), "{said}");
    product.put(Kind::SecurityGroup, "large", two(rules(20, 20), json!([{"direction": "egress"}]))).await;
    product.is(Kind::SecurityGroup, "large", ACTIVE).await;
    // By a rule that it names.
    product.put(Kind::SecurityGroupRule, "more", rules(40, 12)[0].clone()).await;
    product.is(Kind::SecurityGroupRule, "more", ACTIVE).await;
    let mut naming = two(rules(20, 20), json!([{"direction": "egress"}]));
    naming["ruleRefs"] = json!(["security-group-rules/more"]);
    let said = product.refused(Kind::SecurityGroup, "large", naming).await;
    assert!(said.contains("effective rules"), "{said}");

    // Groups of a NIC, and of an instance with its NICs.
    let names: Vec<String> = (0..6).map(|n| format!("g{n}")).collect();
    for name in &names {
        product.put(Kind::SecurityGroup, name, json!({"rules": rules(1, 1)})).await;
        product.is(Kind::SecurityGroup, name, ACTIVE).await;
    }
    let of = |names: &[String]| names.iter().map(|name| json!(format!("security-groups/{name}"))).collect::<Value>();
    product.put(Kind::Network, "n", json!({"cidr": {"ipv4": "10.1.0.0/16"}, "skuRef": "skus/hcloud-network"})).await;
    product.put(Kind::Subnet, "n/s", json!({"cidr": {"ipv4": "10.1.1.0/24"}, "zone": "fsn1"})).await;
    let nic = |groups: Value| json!({"addresses": ["0.0.0.0"], "subnetRef": "networks/n/subnets/s", "securityGroupRefs": groups});
    let said = product.refused(Kind::Nic, "k", nic(of(&names))).await;
    assert!(said.contains("/spec/securityGroupRefs/5") && said.contains("6 firewalls"), "{said}");
    product.put(Kind::Nic, "k", nic(of(&names[..5]))).await;
    product.is(Kind::Nic, "k", ACTIVE).await;
    product.volume("v", SYSTEM).await;
    let instance = |group: &str| {
        json!({"skuRef": "skus/cx23", "zone": "fsn1", "bootVolume": {"deviceRef": "block-storages/v"},
               "primaryNicRef": "nics/k", "securityGroupRef": format!("security-groups/{group}")})
    };
    let said = product.refused(Kind::Instance, "i", instance("g5")).await;
    assert!(said.contains("/spec/primaryNicRef") && said.contains("6 firewalls"), "{said}");
    let said = product.refused(Kind::Instance, "i", instance("large")).await;
    assert!(said.contains("firewalls"), "{said}");
    // One that the NIC has already is no other.
    product.put(Kind::Instance, "i", instance("g0")).await;
    product.is(Kind::Instance, "i", ACTIVE).await;
    // A change that is not about it is taken, whatever the groups come to by now.
    let mut changed = instance("g0");
    changed["sshKeys"] = json!([walk::KEY]);
    product.put(Kind::Instance, "i", changed).await;
}
