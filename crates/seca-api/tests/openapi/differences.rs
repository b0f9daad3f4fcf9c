//! What differs from the specification on purpose, each with its place in the implementer's reference of SECA v1.7.

pub(crate) const JUSTIFIED: &[(&str, &str)] = &[
    // Limits that the specification gives in prose, or not at all.
    ("cidr: minProperties: nothing there, 1 here", "§2.5: at least one family, in prose only"),
    ("Ports: minProperties: nothing there, 1 here", "§3.2: `ports: {}` is what clients send for port 0"),
    (
        "NicIp: format: nothing there, \"ip\" here",
        "§2.5: said of wanted addresses only; those in use are addresses, too",
    ),
    ("BlockStorageStatus/sizeGB: minimum: nothing there, 0 here", "§4.39: 0 while pending, and never less"),
    (
        "NetworkStatus/cidr: default: {\"ipv4\":\"0.0.0.0/0\",\"ipv6\":\"::/0\"} there, nothing here",
        "§4.39: always real",
    ),
    ("Error/status: type: \"number\" there, \"integer\" here", "§2.1: a status code has no fraction"),
    ("RouteStatus: maxProperties: 9 there, nothing here", "§2.5: it has the two members of every status"),
    ("parameter in path name of networks: maxLength: 128 there, 64 here", "§4.31: it stands in paths of 64"),
    ("parameter in path name of roles: maxLength: 128 there, 64 here", "§4.31: it stands in role assignments of 64"),
    ("parameter in path name of workspaces: maxLength: 128 there, 64 here", "§4.31: it stands in paths of 64"),
    // What clients need otherwise.
    ("SubnetSpec/zone: required there, optional here", "§4.29: Terraform sends it empty for every subnet"),
    ("SubnetSpec/routeTableRef: required there, optional here", "§4.29: Terraform sends it empty where none is named"),
    ("ResponseMetadata/skipToken: maxLength: 5 there, nothing here", "§4.14: an opaque signed token is longer"),
    ("list: parameter in query labelSelector: only here", "§4.12: the older name of `labels`"),
    ("put: parameter in header If-Match: only here", "§4.13: the error's example has it"),
    ("delete: parameter in header If-Match: only here", "§4.13: the error's example has it"),
    ("action: parameter in header If-Match: only here", "§4.13: the error's example has it"),
    (
        "get: parameter in header If-None-Match: only here",
        "§3.3: a reader of the current version need not read it again",
    ),
    ("get: response 304: only here", "§3.3: the answer to If-None-Match"),
    // Answers that are given and not declared.
    ("action: response 412: only here", "§4.1: a stale version; under the conformance profile any conflict"),
    ("list: response default: only here", "§3.8: codes that may meet any request"),
    ("get: response default: only here", "§3.8: codes that may meet any request"),
    ("put: response default: only here", "§3.8: codes that may meet any request"),
    ("delete: response default: only here", "§3.8: codes that may meet any request"),
    ("action: response default: only here", "§3.8: codes that may meet any request"),
    ("/.wellknown/secapi: response default: only here", "§3.8: codes that may meet any request"),
    // What is not served.
    ("TypeMetadata/kind: `activity-log` only there", "§4.6: a kind of an extension that is not served"),
    ("TypeMetadata/kind: `network-load-balancer` only there", "§4.6: a kind of an extension that is not served"),
    ("TypeMetadata/kind: `object-storage-account` only there", "§4.6: a kind of an extension that is not served"),
    // The well-known resource.
    ("/.wellknown/secapi: authenticated: true there, false here", "§4.34: its source says `security: false`"),
    ("path /.well-known/secapi: only here", "§4.34: the path of RFC 8615"),
];
