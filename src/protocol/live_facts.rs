//! What runs on a node and what it serves: the questions and the answers.
//!
//! What enters is the looks of `node::live` at listening sockets, TLS handshakes, processes, units and etcd; what leaves is values that `diff` compares with
//! files. Public certificates and names only: no handshake is made here and no type can hold a key. What was not looked at is not there at all; what was
//! looked at and not seen is unknown, never absent. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::protocol::facts::Seen;
use crate::types::names::{IdentityName, ServiceName};
use crate::x509::Certificate;

/// What a node is asked about its running services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveRequest {
    /// Its services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, ServiceQuestion>,
    /// Ports of those who use an authority and are not managed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<EndpointQuestion>,
    /// How its etcd member is asked about the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<EtcdQuestion>,
}

impl LiveRequest {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.consumers.is_empty() && self.etcd.is_none()
    }
}

/// What is asked about one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceQuestion {
    /// Its systemd unit, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Where it serves TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointQuestion>,
}

/// A TLS port that is looked at. Flags in the manifest of the service's static pod may move it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointQuestion {
    /// The port that the layout gives it.
    pub port: u16,
    /// The addresses to try where the node does not show which ones are listened on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The certificate that it should serve, where that is one of the node's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<IdentityName>,
    /// The name under which the server is called (SNI), where it has a certificate of its own for that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// How an etcd member is asked: over gRPC, with a client certificate of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdQuestion {
    /// The service whose port for clients is called; its questions say where it listens.
    pub service: ServiceName,
    /// The port for clients that the layout gives it.
    pub port: u16,
    /// The file with the client certificate and its chain.
    pub certificate: String,
    /// The file with its key.
    pub key: String,
}

/// What runs of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceFacts {
    /// Its systemd unit; absent when systemd knows no such unit. None when none was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Seen<UnitFacts>>,
    /// What each address of each of its ports serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointFacts>,
}

impl ServiceFacts {
    /// The processes behind its ports, else that of its unit, as far as they were seen: when each one started.
    pub fn started(&self) -> BTreeSet<Timestamp> {
        let behind = self.endpoints.iter().filter_map(|endpoint| endpoint.process.known().ok()?);
        let started: BTreeSet<Timestamp> = behind.map(|process| process.started).collect();
        if !started.is_empty() {
            return started;
        }
        let unit = self.unit.as_ref().and_then(|unit| unit.known().ok()?);
        unit.filter(|unit| unit.is_active()).and_then(|unit| unit.started).into_iter().collect()
    }
}

/// A listening address, or a port on which nothing listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointFacts {
    /// The port, moved or not.
    pub port: u16,
    /// The address that was called; none where nothing listens on the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The certificate that it should serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<IdentityName>,
    /// The name under which the server was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// What it answered.
    pub probe: Probe,
    /// The process that holds the socket; absent where nothing listens.
    pub process: Seen<ProcessFacts>,
}

/// What a TLS handshake with an endpoint showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Probe {
    /// It served a certificate.
    Served(Box<Served>),
    /// The connection was refused.
    Refused,
    /// The node shows that nothing listens on the port, so nothing was called.
    NotListening,
    /// It is not known what it serves.
    Unknown {
        /// Why, in words for people.
        reason: String,
    },
}

impl Probe {
    /// What was served, when something was.
    pub fn served(&self) -> Option<&Served> {
        match self {
            Self::Served(served) => Some(served),
            Self::Refused | Self::NotListening | Self::Unknown { .. } => None,
        }
    }
}

/// What a TLS server showed of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// The server's own certificate.
    pub certificate: Certificate,
    /// The certificates after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Certificate>,
    /// The version of TLS, such as `1.3`. Unknown when the server ended the handshake before it was agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it wants of clients.
    pub client: ClientCertificate,
    /// The subjects of the authorities that it accepts clients of, as it names them itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<String>,
    /// What went wrong in the handshake after the certificate was seen, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a TLS server wants of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ClientCertificate {
    /// No certificate.
    NotAsked,
    /// It asks for one, and did not turn away a client without.
    Asked,
    /// It turns away clients without one.
    Required,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessFacts {
    /// When it started, by the node's clock.
    pub started: Timestamp,
    /// Its number.
    pub pid: u32,
    /// The name of its executable, without the path.
    pub program: String,
}

/// A systemd unit, in systemd's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnitFacts {
    /// `ActiveState`, such as `active`.
    pub active_state: String,
    /// `SubState`, such as `running`.
    pub sub_state: String,
    /// `InvocationID`, another one after each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// `MainPID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_pid: Option<u32>,
    /// `ExecMainStartTimestamp`: when the main process started, by the node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// `NRestarts`: how often systemd has started it again by itself since it was last started otherwise (systemd 235 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// For how many whole seconds it had been up when it was looked at, where it was (`ActiveEnterTimestamp`, `ExecMainStartTimestamp`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_seconds: Option<u32>,
    /// `Result`: how its last process ended, such as `exit-code`; `success` while none has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// `UnitFileState`, such as `enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_file_state: Option<String>,
    /// What its command line and environment say of who takes part in etcd, by the names of etcd's flags: `name`, `initial-cluster`,
    /// `initial-advertise-peer-urls`, `advertise-client-urls`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: BTreeMap<String, String>,
}

/// How long a unit that systemd has started again has to be up before it counts as running. A kubelet whose certificate has expired ends within a second of its
/// start (1.20), and systemd starts it again ten seconds later (kubeadm's kubelet.service, `RestartSec=10`).
const STEADY_SECONDS: u32 = 10;

impl UnitFacts {
    /// Whether it runs. One that fails again and again does not, whichever moment of that was seen.
    pub fn is_active(&self) -> bool {
        self.is_up() && !self.keeps_failing()
    }

    /// Whether systemd says at this moment that it is active. Who waits looks again and again; who decides asks [`is_active`](Self::is_active).
    pub fn is_up(&self) -> bool {
        self.active_state == "active"
    }

    /// Whether it ends by itself and is started again: systemd is about to do so, or has just done it. Where systemd does not count, one that is up counts as running.
    pub fn keeps_failing(&self) -> bool {
        let is_again = self.restarts.is_some_and(|restarts| restarts > 0);
        match self.active_state.as_str() {
            "active" => is_again && self.up_seconds.is_some_and(|seconds| seconds < STEADY_SECONDS),
            "activating" => is_again || self.sub_state.starts_with("auto-restart"),
            _ => false,
        }
    }

    /// Whether it should run though it does not: it has failed, is being started, again and again perhaps, or is started with the node. Nobody wants
    /// one to run that was stopped and is not started with the node.
    pub fn is_wanted(&self) -> bool {
        let state = self.unit_file_state.as_deref().unwrap_or_default();
        match self.active_state.as_str() {
            _ if state.starts_with("masked") => false,
            "active" | "failed" | "activating" => true,
            _ => ["enabled", "enabled-runtime", "alias", "generated"].contains(&state),
        }
    }
}

/// What an etcd member says of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtcdFacts {
    /// The number of the cluster.
    pub cluster: EtcdId,
    /// The member that was asked.
    pub member: EtcdId,
    /// The members that it knows. Read from the member's own store, so that it answers without a quorum.
    pub members: BTreeMap<EtcdId, MemberFacts>,
}

impl EtcdFacts {
    /// What the member that was asked says of itself.
    pub fn own_status(&self) -> Option<&MemberStatus> {
        self.members.get(&self.member)?.status.known().ok()?
    }

    /// Whether the member that was asked follows a leader, by its own word. The one that leads does too, and none does without a quorum.
    pub fn follows_leader(&self) -> bool {
        self.own_status().is_some_and(|own| own.leader.is_some())
    }
}

/// A member of an etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberFacts {
    /// Its name; empty for one that has been added and has not started.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it only learns and does not vote.
    pub is_learner: bool,
    /// What it says of itself when it is called from this node.
    pub status: Seen<MemberStatus>,
}

/// What an etcd member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its version, such as `3.4.13`.
    pub version: String,
    /// The leader that it follows; none without a quorum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<EtcdId>,
    /// The term of that leader.
    pub raft_term: u64,
    /// The last entry of its log that is committed.
    pub raft_index: u64,
    /// The last entry that it has applied (3.4 and later, 0 before).
    pub raft_applied_index: u64,
    /// The size of its database, in bytes.
    pub database_bytes: u64,
    /// Its alarms and other troubles in its own words (3.4 and later), such as `memberID:1 alarm:NOSPACE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
}

/// The number of an etcd cluster or member. Printed and written as etcd does, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EtcdId(pub u64);

impl fmt::Display for EtcdId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for EtcdId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EtcdId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EtcdId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u64::from_str_radix(&text, 16);
        number.map(Self).map_err(|_| de::Error::custom("an etcd number is up to 16 hexadecimal digits"))
    }
}

impl JsonSchema for EtcdId {
    fn schema_name() -> Cow<'static, str> {
        "EtcdId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{1,16}$" })
    }
}
