//! The closed vocabulary of condition reasons: what a person reads instead of a stack trace.
//!
//! `docs/reasons.md` is generated from this table; a test keeps it current. `{provider}` stands for the provider's name.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($name:ident: $meaning:literal, $remedy:literal;)*) => {
        /// Why a resource is in its state, or what is not in effect although it is active.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in `conditions[].reason`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it means. `{provider}` stands for the provider's name.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// What helps. `{provider}` stands for the provider's name.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

reasons! {
    WaitingForWorkspace: "The workspace has no provider token yet, so nothing can be made.",
        "Bind a token to the workspace (the token provisioner does it by itself).";
    WaitingForCredential: "No provider token is bound to the workspace yet.",
        "Bind a token to the workspace (the token provisioner does it by itself).";
    CredentialMissing: "The workspace's token was removed; what exists stays as it is.",
        "Bind a token of the same project again.";
    CredentialRejected: "The provider no longer accepts the workspace's token.",
        "Create a new read-write token in the same project and bind it.";
    CredentialReadOnly: "The workspace's token may only read.",
        "Create a read-write token in the same project and bind it.";
    CredentialOfOtherProject: "The workspace's token opens another {provider} project than the one with its resources; nothing is done with it.",
        "Bind a token of the project that the message names.";
    ProjectPaused: "Another database rules the {provider} project, so this one changes nothing in it: it was restored from a backup, or copied.",
        "An operator says which database rules, with `secapi-proxy adopt-projects`.";
    Paused: "An operator paused the workspace: nothing is asked of {provider} for it and what is in it.",
        "Nothing; work goes on when an operator resumes the workspace.";
    WaitingForDependency: "A resource that this one needs is not ready.",
        "Nothing; look at the resource that the message names if it stays.";
    WaitingForChildren: "Resources inside this one are still being deleted.",
        "Nothing; look at the resources that the message names if it stays.";
    DependencyMissing: "A resource that this one names does not exist any more.",
        "Create it again, or change the reference.";
    BootVolumeInUse: "Another instance boots from the same block storage.",
        "Delete the other instance, or use another block storage.";
    Attached: "The volume is attached to an instance; the message tells by which path the guest finds it.",
        "Nothing.";
    Unfiltered: "The instance has a public address and names no security group, so everything reaches it.",
        "Name a security group on the instance or on a NIC of it; an operator closes such instances with SECA_UNGROUPED_TRAFFIC=closed.";
    ClosedWithoutGroup: "The instance has a public address and names no security group, and the operator closes such instances.",
        "Name a security group on the instance or on a NIC of it.";
    NicInUse: "Another instance has a NIC that this one names.",
        "Take the NIC from the other instance, or name another NIC.";
    AddressInUse: "Another NIC has a public IP that this one names, or the instance has one of the family already.",
        "Take the public IP from the other NIC, or name another one.";
    VolumeInUse: "Another instance has a data volume that this one names.",
        "Take the volume from the other instance, or name another one.";
    AwaitingZone: "The region has several zones, and nothing tells yet in which of them this is to lie.",
        "Nothing: it is made where the first instance that uses it is. Or set the extension that chooses the location.";
    InOtherZone: "It lies in another zone of the region than the instance that names it, and nothing moves between zones.",
        "Name one of the same zone, or make it again in that zone.";
    SshKeyUnknown: "The instance names an SSH key that the {provider} project does not have.",
        "Upload the key to the project under this name, or give the public key itself.";
    ForeignAttachment: "Something is attached to the server that this API did not attach; it is left alone.",
        "Nothing, or detach it at {provider}.";
    AliasNic: "A further NIC of the same subnet shares the interface of the first one.",
        "Add its addresses to the interface inside the guest.";
    NotEnforcedOnPrivateNic: "{provider} filters public interfaces only, so security groups filter nothing on a private one.",
        "Filter inside the guest.";
    AppliesOnNextWrite: "The instance was made by an earlier release, which attached nothing that it names.",
        "Send the instance again, or start or restart it.";
    RulesTooMany: "The rules are more than {provider} takes; the former ones stay in force.",
        "Merge or remove rules.";
    BootVolumeHeld: "The block storage keeps the server of an instance that was deleted, switched off, and {provider} bills it.",
        "Boot an instance from it, or delete the block storage; after a while it becomes a snapshot by itself.";
    BootVolumeParked: "The block storage keeps its disk in a snapshot, which {provider} bills by its size.",
        "Boot an instance from it, or delete the block storage.";
    BootImageDefaulted: "The boot volume has no source image, or an empty one, so the default image boots.",
        "Set sourceImageRef on the block storage before an instance uses it.";
    PlaceholderInterface: "The instance names no NIC, so it has a closed IPv6 interface that {provider} needs to power it on.",
        "Nothing.";
    NotInEffect: "The resource is as asked for, but nothing uses it, or nothing routes by it yet.",
        "The message says what is missing.";
    BackingLost: "What backed the resource was deleted outside of this API; it is never made again empty.",
        "Restore from a backup into a new resource.";
    OrphanRefused: "An operator gave an object at {provider} to the resource, which cannot be its; the object stays as it is.",
        "An operator gives the object to another resource, or removes it, with `secapi-proxy orphans`.";
    PartlySupported: "A part of the specification is kept as intent, because {provider} has no such thing.",
        "The message names the part.";
    IPv6Unsupported: "{provider} networks carry no IPv6; the IPv6 block is kept as intent.",
        "Nothing, or leave the IPv6 block out.";
    SizeAdjusted: "The real size differs from the one asked for.",
        "The message says why; status shows the real size.";
    AppliesOnRecreate: "A change was accepted that {provider} cannot make to an existing server.",
        "Create the instance again to apply it.";
    AppliesWhenOff: "A change was accepted that needs the instance to be off.",
        "Stop the instance.";
    AppliesOnStart: "The server of the instance has another type than its SKU, because it was another instance's; the next start changes that.",
        "Start the instance.";
    EmptySource: "The image was taken from a block storage that nothing was ever written to, so it is empty as well.",
        "Nothing; take an image of a block storage that holds data.";
    UnwrittenSource: "The block storage was not written to since it was made from an image, so this image is a copy of that one.",
        "Nothing; take an image of a block storage that an instance boots from.";
    AddressNotHonoured: "{provider} gives public addresses itself, so the address is another one than asked for.",
        "Use the address in the status, or leave the address out.";
    AddressConflict: "The address range overlaps one that is in use.",
        "Delete the other one, or choose another range.";
    RouteNotProgrammed: "A route is kept as intent, because its target has no address in the network.",
        "Give the target an address in this network.";
    RouteConflict: "Another route table of the network, which is older, sends the same destination elsewhere, and a network of {provider} has one route to it.",
        "Use the same target in both tables, or remove one of the two routes.";
    GatewayServing: "NAT servers forward for the internet gateway; the message tells their public addresses.",
        "Nothing.";
    GatewayReplacing: "A NAT server of the internet gateway is being replaced, or is about to be; meanwhile nothing gets out for a minute or so.",
        "Nothing; the message says why.";
    GatewayUnhealthy: "A NAT server of the internet gateway was brought back several times within an hour and does not stay up.",
        "Look at the server in the console of {provider}; it is tried again more slowly.";
    GuestRoutingUnmanaged: "The instance got no bootstrap that sets up its way out by the private network.",
        "Run the two commands of the message in the instance, or make it again with a NIC.";
    CapacityUnavailable: "{provider} has no capacity for this at the moment.",
        "Nothing, or choose another SKU or region.";
    QuotaExceeded: "A limit of the {provider} project is reached.",
        "Ask {provider} for a higher limit, or delete something.";
    Throttled: "The request budget of the {provider} project is spent; work goes on as it refills.",
        "Nothing.";
    ProviderBusy: "The object is locked by another action at the provider.",
        "Nothing.";
    ProviderSlow: "An action at {provider} takes much longer than usual; it is waited for.",
        "Nothing; see the action that the message names in the {provider} console, and the provider's status page, if it stays.";
    ProviderUnavailable: "{provider} does not answer, or with an error of its own.",
        "Nothing; see the provider's status page if it stays.";
    ProviderRefused: "{provider} refused what was asked for.",
        "Change the resource as the message says.";
    ProviderActionFailed: "An action at {provider} failed; it is tried again.",
        "Nothing; see the message if it stays.";
    NameTaken: "An object that is not ours has the name that ours needs.",
        "Rename or delete the object that the message names.";
    OutcomeUnknown: "The answer to a call was lost, and the call may still take effect; the resource stays until that is certain.",
        "Nothing.";
    NeverSettles: "Many changes in a row did not make the resource what it is to be, so the next ones are made slowly.",
        "Look whether another tool undoes the changes at {provider}; if none does, report it with the message.";
    InternalError: "A defect of this control plane; nothing was changed at the provider.",
        "Report it with the message; the resource is looked at again by itself.";
    Unsupported: "This release does not support what was asked for.",
        "The message says what.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_the_specifications_pattern() {
        for reason in Reason::ALL {
            let word = reason.as_str();
            assert!(word.len() <= 1024 && word.chars().all(|c| c.is_ascii_alphanumeric()), "{word}");
            assert!(reason.meaning().ends_with('.') && reason.remedy().ends_with('.'), "{word}");
        }
    }
}
