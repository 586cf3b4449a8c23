//! The facts of a node, taken apart against the question that they answer.
//!
//! What enters is the bytes of an answer, what was asked, and until when it may take; what leaves is facts that hold nothing else. A key that was not asked for is
//! refused where it stands, before anything is made of its value. The one thing that may come unasked is a file that one of the files names: so many at the
//! most as an honest node looks at, and only those that are really named.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::time::Instant;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::protocol::facts::{
    Content, EndpointFacts, Expect, FileFacts, Met, NodeFacts, ObserveRequest, Seen, ServiceFacts,
    UnsafeStep, not_looked,
};
use crate::protocol::named_files::{LIST_LIMIT, NAMED_LIMIT, named_files};
use crate::protocol::node::NodeError;
use crate::protocol::wire::Outcome;
use crate::types::names::ServiceName;
use crate::x509::Sha256;

/// The longest host name that Linux has, and the longest path.
const HOST_NAME: usize = 255;
const PATH: usize = 4096;
/// Most addresses at which one endpoint is looked at.
const ADDRESSES: usize = 64;
/// What every answer may hold, whatever was asked.
const FRAME: usize = 64 * 1024;
/// What no answer about files is larger than.
pub(super) const LARGEST: usize = 4 * 1024 * 1024;

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It holds something that was not asked for.
    Unasked,
    /// Reading it took too long.
    TooLate,
    /// It is no answer to an observation at all.
    NotUnderstood,
}

/// How long the answer to a question may be: what is always there, and for each path the most that its kind holds.
pub(super) fn limit(question: &ObserveRequest) -> usize {
    let files = question.files.values().map(|expect| match expect {
        Expect::Link | Expect::Text => 8 * 1024,
        Expect::KubeletConfiguration | Expect::EtcdConfiguration => 16 * 1024,
        Expect::PrivateKey | Expect::PublicKey => 32 * 1024,
        Expect::Manifest | Expect::Kubeconfig => 128 * 1024,
        Expect::Directory => LIST_LIMIT * 96,
        // Ten of the largest manifests, or many more of the usual size.
        Expect::StaticPods => LIST_LIMIT * 96 + 10 * 128 * 1024,
        // A file of a megabyte is read, and certificates are most of what it can hold.
        Expect::Certificates | Expect::Pair => 1536 * 1024,
    });
    let live = &question.live;
    let endpoints = live.services.values().map(|service| service.endpoints.len() + 1).sum::<usize>();
    let live = (endpoints + live.consumers.len()) * 128 * 1024
        + live.etcd.as_ref().map_or(0, |_| 128 * 1024)
        + question.distrusted.len() * 256;
    files.fold(FRAME.saturating_add(live), usize::saturating_add).min(LARGEST)
}

/// Reads an answer.
pub(super) fn facts(
    answer: &[u8],
    question: &ObserveRequest,
    until: Instant,
) -> Result<Outcome<NodeFacts, NodeError>, Refusal> {
    let context = Context { question, refusal: Cell::new(Refusal::NotUnderstood), named: Cell::new(0) };
    let mut reader = serde_json::Deserializer::from_reader(Until {
        rest: answer,
        until,
        late: &context.refusal,
        count: 0,
    });
    let read =
        OutcomeSeed(&context).deserialize(&mut reader).and_then(|outcome| reader.end().map(|()| outcome));
    let outcome = read.map_err(|_| context.refusal.get())?;
    if let Outcome::Done(facts) = &outcome {
        context.check(facts).map_err(|()| Refusal::Unasked)?;
    }
    Ok(outcome)
}

/// Bytes that end when the time is over.
struct Until<'a> {
    rest: &'a [u8],
    until: Instant,
    late: &'a Cell<Refusal>,
    count: usize,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // The clock costs more than a byte.
        self.count = self.count.wrapping_add(1);
        if self.count.is_multiple_of(4096) && Instant::now() > self.until {
            self.late.set(Refusal::TooLate);
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.rest.read(buffer)
    }
}

struct Context<'q> {
    question: &'q ObserveRequest,
    refusal: Cell<Refusal>,
    /// How many files came that were not asked for.
    named: Cell<usize>,
}

impl Context<'_> {
    fn unasked<E: Error>(&self) -> E {
        self.refusal.set(Refusal::Unasked);
        E::custom("it was not asked for")
    }

    /// What can be judged only once all of it is there: that files are named which were not asked for, and ports moved.
    fn check(&self, facts: &NodeFacts) -> Result<(), ()> {
        let mut named: BTreeSet<String> = BTreeSet::new();
        let mut waiting: Vec<(String, Expect)> =
            self.question.files.iter().map(|(path, expect)| (path.clone(), *expect)).collect();
        while let Some((path, expect)) = waiting.pop() {
            if let Some(Seen::Present(file)) = facts.files.get(&path) {
                let further = named_files(&path, expect, &file.content).into_iter();
                waiting.extend(further.filter(|(path, _)| named.insert(path.clone())));
            }
        }
        let is_asked = |path: &String| self.question.files.contains_key(path) || named.contains(path);
        if !facts.files.keys().chain(facts.named_by.keys()).all(is_asked) {
            return Err(());
        }
        let mut steps = facts.unsafe_steps.keys();
        if !steps.all(|path| facts.files.contains_key(path) || self.is_state_directory(path)) {
            return Err(());
        }
        let sources = facts.named_by.values().flatten();
        if !sources.into_iter().all(|source| facts.files.contains_key(source)) {
            return Err(());
        }
        for (service, found) in &facts.services {
            let Some(asked) = self.question.live.services.get(service) else { return Err(()) };
            let layout = asked.endpoints.iter().map(|endpoint| endpoint.port);
            let moved = facts.manifests().filter_map(|(_, manifest)| manifest.container(service.as_str()));
            let moved = moved.flat_map(|container| {
                let asked = asked.endpoints.iter();
                asked.flat_map(|endpoint| container.listening(endpoint.port)).map(|(port, _)| port)
            });
            let ports: BTreeSet<u16> = layout.chain(moved).collect();
            if !found.endpoints.iter().all(|endpoint| ports.contains(&endpoint.port)) {
                return Err(());
            }
        }
        Ok(())
    }
}

struct OutcomeSeed<'c, 'q>(&'c Context<'q>);

impl<'de> DeserializeSeed<'de> for OutcomeSeed<'_, '_> {
    type Value = Outcome<NodeFacts, NodeError>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OutcomeSeed<'_, '_> {
    type Value = Outcome<NodeFacts, NodeError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let outcome = match map.next_key::<String>()?.as_deref() {
            Some("done") => Outcome::Done(map.next_value_seed(FactsSeed(self.0))?),
            Some("failed") => Outcome::Failed(map.next_value()?),
            Some("ended") => Outcome::Ended(map.next_value()?),
            Some(_) | None => return Err(A::Error::custom("no answer")),
        };
        match map.next_key::<String>()? {
            None => Ok(outcome),
            Some(_) => Err(self.0.unasked()),
        }
    }
}

struct FactsSeed<'c, 'q>(&'c Context<'q>);

impl<'de> DeserializeSeed<'de> for FactsSeed<'_, '_> {
    type Value = NodeFacts;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<NodeFacts, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FactsSeed<'_, '_> {
    type Value = NodeFacts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the facts of a node")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NodeFacts, A::Error> {
        let Context { question, .. } = *self.0;
        let mut seen = BTreeSet::new();
        let (mut clock, mut served_by, mut files) = (None, None, None);
        let mut facts = NodeFacts {
            hostname: None,
            clock: jiff::Timestamp::UNIX_EPOCH,
            served_by: Default::default(),
            kubernetes_version: None,
            files: BTreeMap::new(),
            unsafe_steps: BTreeMap::new(),
            named_by: BTreeMap::new(),
            open_transaction: not_looked(),
            last_transaction: not_looked(),
            consumers: Vec::new(),
            kept_keys: not_looked(),
            services: BTreeMap::new(),
            etcd: not_looked(),
        };
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "hostname" => facts.hostname = map.next_value()?,
                "clock" => clock = Some(map.next_value()?),
                "servedBy" => served_by = Some(map.next_value()?),
                "kubernetesVersion" => facts.kubernetes_version = map.next_value()?,
                "files" => files = Some(map.next_value_seed(Files(self.0))?),
                "unsafeSteps" => facts.unsafe_steps = map.next_value_seed(UnsafeSteps(self.0))?,
                "namedBy" => facts.named_by = map.next_value_seed(NamedBy(self.0))?,
                "openTransaction" if question.state_directory.is_some() => {
                    facts.open_transaction = map.next_value()?;
                }
                "lastTransaction" if question.state_directory.is_some() => {
                    facts.last_transaction = map.next_value()?;
                }
                "keptKeys" if !question.distrusted.is_empty() => {
                    facts.kept_keys = map.next_value()?;
                    let kept = facts.kept_keys.shown();
                    let is_asked = |fingerprint: &Sha256| question.distrusted.contains(fingerprint);
                    if !kept.is_none_or(|kept| kept.keys().all(is_asked)) {
                        return Err(self.0.unasked());
                    }
                }
                "services" => facts.services = map.next_value_seed(Services(self.0))?,
                "consumers" => facts.consumers = map.next_value_seed(Consumers(self.0))?,
                "etcd" if question.live.etcd.is_some() => facts.etcd = map.next_value()?,
                "openTransaction" | "lastTransaction" | "keptKeys" | "etcd" => return Err(self.0.unasked()),
                // What a later version adds is passed over, and nothing is made of it.
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            if !seen.insert(key) {
                return Err(self.0.unasked());
            }
        }
        if facts.hostname.as_ref().is_some_and(|name| name.len() > HOST_NAME) {
            return Err(self.0.unasked());
        }
        facts.clock = clock.ok_or_else(|| A::Error::missing_field("clock"))?;
        facts.served_by = served_by.ok_or_else(|| A::Error::missing_field("servedBy"))?;
        facts.files = files.ok_or_else(|| A::Error::missing_field("files"))?;
        Ok(facts)
    }
}

/// A map of which each key is judged before its value is read.
macro_rules! judged_map {
    ($seed:ident, $key:ty, $value:ty, $judge:expr) => {
        struct $seed<'c, 'q>(&'c Context<'q>);

        impl<'de> DeserializeSeed<'de> for $seed<'_, '_> {
            type Value = BTreeMap<$key, $value>;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_map(self)
            }
        }

        impl<'de> Visitor<'de> for $seed<'_, '_> {
            type Value = BTreeMap<$key, $value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                judged(self.0, map, $judge)
            }
        }
    };
}

judged_map!(Files, String, Seen<FileFacts>, |context: &Context<'_>, path: &String| {
    context.question.files.contains_key(path) || context.counts(path)
});
judged_map!(UnsafeSteps, String, UnsafeStep, |context: &Context<'_>, path: &String| {
    context.question.files.contains_key(path) || context.is_state_directory(path) || context.counts(path)
});
judged_map!(NamedBy, String, BTreeSet<String>, |context: &Context<'_>, path: &String| {
    context.counts(path)
});
judged_map!(Services, ServiceName, ServiceFacts, |context: &Context<'_>, service: &ServiceName| {
    context.question.live.services.contains_key(service)
});

impl Context<'_> {
    fn is_state_directory(&self, path: &str) -> bool {
        self.question.state_directory.as_ref().is_some_and(|asked| asked.trim_end_matches('/') == path)
    }

    /// Whether there is room for one more path that was not asked for: one of a file, one that says by whom it is named, and one of a step on the
    /// way to it.
    fn counts(&self, path: &str) -> bool {
        self.named.set(self.named.get() + 1);
        path.len() <= PATH && self.named.get() <= 6 * NAMED_LIMIT
    }
}

fn judged<'de, A: MapAccess<'de>, K: DeserializeOwned + Ord, V: DeserializeOwned + Bounded>(
    context: &Context<'_>,
    mut map: A,
    is_asked: impl Fn(&Context<'_>, &K) -> bool,
) -> Result<BTreeMap<K, V>, A::Error> {
    let mut values = BTreeMap::new();
    while let Some(key) = map.next_key::<K>()? {
        if !is_asked(context, &key) {
            return Err(context.unasked());
        }
        let value: V = map.next_value()?;
        if !value.is_bounded() || values.insert(key, value).is_some() {
            return Err(context.unasked());
        }
    }
    Ok(values)
}

/// A value of which there is not more than any honest one has.
trait Bounded {
    fn is_bounded(&self) -> bool;
}

impl Bounded for Seen<FileFacts> {
    fn is_bounded(&self) -> bool {
        match self {
            Self::Present(FileFacts { content: Content::Directory { entries, .. }, .. }) => {
                entries.len() <= LIST_LIMIT
            }
            Self::Present(_) | Self::Absent | Self::Dangling { .. } | Self::Looping { .. } => true,
            Self::Unknown { .. } => true,
        }
    }
}

impl Bounded for UnsafeStep {
    fn is_bounded(&self) -> bool {
        let target = if let Met::Link { target } = &self.met { target.len() } else { 0 };
        let users = self.from_owner.iter().chain(&self.to_owner);
        let names = users.filter_map(|user| user.name.as_ref());
        [self.from.len(), self.to.len(), target].into_iter().all(|length| length <= PATH)
            && names.into_iter().all(|name| name.len() <= HOST_NAME)
    }
}

impl Bounded for BTreeSet<String> {
    fn is_bounded(&self) -> bool {
        self.len() <= LIST_LIMIT
    }
}

impl Bounded for ServiceFacts {
    fn is_bounded(&self) -> bool {
        self.endpoints.len() <= ADDRESSES * 4
    }
}

struct Consumers<'c, 'q>(&'c Context<'q>);

impl<'de> DeserializeSeed<'de> for Consumers<'_, '_> {
    type Value = Vec<EndpointFacts>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Consumers<'_, '_> {
    type Value = Vec<EndpointFacts>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("endpoints")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let asked = &self.0.question.live.consumers;
        let mut found = Vec::new();
        while found.len() <= asked.len() * ADDRESSES {
            let Some(endpoint) = sequence.next_element::<EndpointFacts>()? else { return Ok(found) };
            if !asked.iter().any(|asked| asked.port == endpoint.port) {
                return Err(self.0.unasked());
            }
            found.push(endpoint);
        }
        Err(self.0.unasked())
    }
}
