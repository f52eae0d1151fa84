//! The locations that compare a path as it was sent, for requests that are not plain.

use std::collections::BTreeMap;

use entry_model::{Policy, Protocol};

use crate::context::Context;
use crate::error_page::BAD_REQUEST;
use crate::location_kind::LocationKind;
use crate::policy_class::PolicyClass;
use crate::proxy_module::ProxyModule;
use crate::proxy_target::{ProxyTarget, rest_variable, scheme, write_treatment};
use crate::token::Text;
use crate::writer::Writer;

/// The locations of a host for requests that are not plain, of rules that strip a prefix: one for all that are sent on in the same way.
#[derive(Debug, Default)]
pub struct RawPathLocations(BTreeMap<ProxyClass, (u32, Policy)>);

/// What requests have in common that one location can send on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ProxyClass {
    below: bool,
    protocol: Protocol,
    policy: PolicyClass,
}

impl RawPathLocations {
    /// The location for such requests. The rule's own sets `$sparrow_prefix` and `$sparrow_upstream`.
    pub fn index(&mut self, place: &LocationKind<'_>, target: &ProxyTarget<'_>, policy: PolicyClass) -> u32 {
        let class = ProxyClass { below: place.is_below(), protocol: target.backend.protocol, policy };
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.entry(class).or_insert_with(|| (next, target.policy.clone())).0
    }

    /// Writes them. One that nginx could not read is left out: the locations that lead to it are answered 503.
    pub fn write(&self, writer: &mut Writer<'_>, context: &Context<'_>) {
        for (class, (index, policy)) in &self.0 {
            let mark = writer.mark();
            if write_location(writer, class, *index, policy, context).is_none() {
                writer.take_back(&mark);
            }
        }
    }
}

fn write_location(
    writer: &mut Writer<'_>,
    class: &ProxyClass,
    index: u32,
    policy: &Policy,
    context: &Context<'_>,
) -> Option<()> {
    // All in one text, so that its parts can be compared: no dot segments, and the prefix is what the path begins with.
    let pattern = if class.below {
        r#""^0(?<sparrow_matched>[^ ]+) \\k<sparrow_matched>(?<sparrow_rest>/.*)$")"#
    } else {
        r#""^0(?<sparrow_matched>[^ ]+) \\k<sparrow_matched>(?<sparrow_rest>(?:\\?.*)?)$")"#
    };
    writer.line("location").words(["="]).text(|text| location_name(text, index)).open(None)?;
    writer.line("internal").end()?;
    writer.line("set").words(["$sparrow_check", r#""$sparrow_has_dot_segment$sparrow_prefix $request_uri""#]).end()?;
    writer.line("if").words(["($sparrow_check", "!~", pattern]).open(None)?;
    writer.write(&BAD_REQUEST);
    writer.close();
    let url = |text: Text| {
        text.own(scheme(class.protocol, ProxyModule::Proxy)).own("$sparrow_upstream").own(rest_variable(class.below))
    };
    writer.line("proxy_pass").text(url).end()?;
    write_treatment(writer, class.protocol, policy, ProxyModule::Proxy, context)?;
    writer.close();
    Some(())
}

/// The name of one. No path begins like this, so only a rewrite leads there.
pub fn location_name(text: Text, index: u32) -> Text {
    text.own("sparrow-raw-path-").number(index)
}
