//! An image is a copy of a block storage. A copy of what nothing was ever written to needs nothing at the provider:
//! it is empty as well, whatever becomes of its source later. Copies of data are snapshots of servers, which this
//! release does not take yet, so that such an image is refused in its status.

use control_plane::{Reason, Resource, ports::Planned};
use seca_api::{BlockStorageSpec, Kind};

use super::{Context, Mapping, PlannedExt, facts, fail, missing_targets, noted, settled};

/// The field that names the source.
const SOURCE: &str = "/spec/blockStorageRef";

/// See the module.
pub(super) struct ImageMapping;

impl Mapping for ImageMapping {
    fn kind(&self) -> Kind {
        Kind::Image
    }

    fn plan(&self, context: &Context<'_>) -> Planned {
        if context.resource().is_deleting() {
            return settled();
        }
        let source = context.bundle().target(SOURCE).and_then(|target| target.resource.as_ref());
        match source.filter(|source| !source.is_deleting()) {
            None => noted(settled(), missing_targets(context)),
            Some(source) if was_taken_from(context.resource(), source) || is_blank(source) => {
                settled().fact(facts::TAKEN_FROM, source.uid.to_string()).note(
                    Reason::EmptySource,
                    format!("Nothing was written to the block storage `{}`, so the image is empty.", source.key.name),
                )
            }
            Some(source) => fail(
                Reason::Unsupported,
                format!(
                    "The block storage `{}` may hold data, and this release takes images of blank ones only; delete the \
                     image, or name a block storage that no instance used and that has no source image.",
                    source.key.name
                ),
            ),
        }
    }
}

/// Whether the copy was taken already, when the source was blank.
fn was_taken_from(image: &Resource, source: &Resource) -> bool {
    image.fact(facts::TAKEN_FROM) == Some(source.uid.to_string().as_str())
}

/// Whether nothing was ever written to a block storage.
fn is_blank(source: &Resource) -> bool {
    let used = source.marked(facts::EVER_ATTACHED)
        || source.marked(facts::EVER_STARTED)
        || source.fact(facts::BACKING) == Some(facts::SERVER);
    let copied = source.spec::<BlockStorageSpec>().map_or(true, |spec| spec.source_image_ref.is_some());
    !used && !copied
}
