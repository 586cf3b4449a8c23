//! Services of a node made of values: they start, load files and serve what they have loaded.
//!
//! What enters is what a service is started by and which file is behind each of its ports; what leaves is the facts that the same service on a real node
//! gives, and whether health checks hold. One is started anew by its unit's restart or by a change of its manifest. There is no time in it: what is asked to come up
//! has come up, or will not.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::{Failure, Memory, Object};
use crate::protocol::error::HostError;
use crate::protocol::facts::{
    ClientCertificate, EndpointFacts, Probe, ProcessFacts, Seen, Served, ServiceFacts, UnitFacts,
};
use crate::protocol::health_check::HealthCheck;
use crate::types::names::{IdentityName, ServiceName};
use crate::x509::{Certificate, pem};

/// The clock of a node in memory goes on so far with whatever is done.
const MOMENT: SignedDuration = SignedDuration::from_millis(1);

/// The unit that runs the pods of a node.
const KUBELET: &str = "kubelet.service";

/// What a service of a node in memory is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// The systemd unit whose restart starts it anew.
    pub unit: Option<String>,
    /// The manifest whose change starts it anew.
    pub manifest: Option<String>,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// A port with the certificate behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Where.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The identity that should be served.
    pub serves: IdentityName,
    /// Its file.
    pub certificate: String,
    /// The file of its key.
    pub key: String,
    /// Whether the files are read at each handshake instead of at the start.
    pub is_read_again: bool,
}

/// A service and its process.
#[derive(Debug, Clone)]
pub(super) struct Modelled {
    what: Running,
    process: Option<Process>,
    starts: u32,
}

#[derive(Debug, Clone)]
struct Process {
    started: Timestamp,
    /// What each port had to serve at the start.
    loaded: Vec<Option<Certificate>>,
    /// Whether it serves anything.
    serves: bool,
}

impl Memory {
    /// Makes a service run, with the files that are there now.
    #[must_use]
    pub fn running(mut self, name: ServiceName, what: Running) -> Self {
        self.models.insert(name.clone(), Modelled { what, process: None, starts: 0 });
        self.start(&name);
        self
    }

    /// Whether a service runs, and how often it was started.
    pub fn is_running(&self, name: &str) -> Option<u32> {
        self.models.get(name).filter(|model| model.process.is_some()).map(|model| model.starts)
    }

    /// A moment later than everything that was written or started before.
    pub(super) fn tick(&mut self) -> Timestamp {
        let modified = self.entries.values().map(|entry| entry.modified);
        let latest = modified.chain([self.clock]).max().unwrap_or(self.clock);
        self.clock = latest.checked_add(MOMENT).unwrap_or(latest);
        self.clock
    }

    fn first_certificate(&self, path: &str) -> Option<Certificate> {
        let bytes = crate::agent::fs::lookup::read(self, path).ok()??;
        pem::read(bytes.reveal()).certificates().next().cloned()
    }

    /// What can be served with the files that are there now: a certificate with its own key.
    fn usable(&self, port: &Port) -> Option<Certificate> {
        let certificate = self.first_certificate(&port.certificate)?;
        let bytes = crate::agent::fs::lookup::read(self, &port.key).ok()??;
        let reading = pem::read(bytes.reveal());
        let key = reading.private_keys().next()?;
        (*key.public_key() == certificate.facts().key).then_some(certificate)
    }

    /// Ends a service and starts it; whether it has come up.
    fn start(&mut self, name: &ServiceName) -> bool {
        let fails = self.fails(Failure::Start).is_err();
        let serves = self.fails(Failure::Serve).is_ok();
        let started = self.tick();
        let Some(what) = self.models.get(name).map(|model| model.what.clone()) else { return false };
        let loaded = what.ports.iter().map(|port| self.usable(port).filter(|_| serves));
        let process = Process { started, loaded: loaded.collect(), serves };
        if let Some(model) = self.models.get_mut(name) {
            model.process = (!fails).then_some(process);
            model.starts = model.starts.saturating_add(1);
        }
        !fails
    }

    fn named(&self, is_it: impl Fn(&Running) -> bool) -> Option<ServiceName> {
        self.models.iter().find(|(_, model)| is_it(&model.what)).map(|(name, _)| name.clone())
    }

    /// What a program does that was run: only the restart of a unit does anything.
    pub(super) fn ran_program(&mut self, argv: &[String]) -> Result<(), HostError> {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let ["systemctl", "restart", options @ .., unit] = words.as_slice() else { return Ok(()) };
        let unit = *unit;
        let Some(name) = self.named(|what| what.unit.as_deref() == Some(unit)) else { return Ok(()) };
        let starts = self.start(&name);
        if starts && unit == KUBELET {
            self.start_dead_pods();
        }
        match starts || options.contains(&"--no-block") {
            true => Ok(()),
            false => {
                Err(HostError::Refused { path: unit.to_owned(), reason: "it does not start".to_owned() })
            }
        }
    }

    /// A kubelet that starts begins with every pod of its manifests that does not run.
    fn start_dead_pods(&mut self) {
        let is_dead = |(_, model): &(&ServiceName, &Modelled)| {
            let manifest = model.what.manifest.as_ref();
            model.process.is_none() && manifest.is_some_and(|path| self.entries.contains_key(path))
        };
        let dead: Vec<ServiceName> =
            self.models.iter().filter(is_dead).map(|(name, _)| name.clone()).collect();
        for name in &dead {
            self.start(name);
        }
    }

    /// What a change of a file does that was made: a manifest starts its pod, and ends it where it is gone.
    pub(super) fn changed_manifest(&mut self, location: &str) {
        let Some(name) = self.named(|what| what.manifest.as_deref() == Some(location)) else { return };
        if self.entries.contains_key(location) {
            self.start(&name);
        } else if let Some(model) = self.models.get_mut(&name) {
            model.process = None;
        }
    }

    fn served(&self, model: &Modelled, index: usize) -> Option<Certificate> {
        let (port, process) = (model.what.ports.get(index)?, model.process.as_ref()?);
        match port.is_read_again {
            true if process.serves => self.usable(port),
            true => None,
            false => process.loaded.get(index)?.clone(),
        }
    }

    pub(super) fn service_facts(&self, name: &ServiceName) -> Option<ServiceFacts> {
        let model = self.models.get(name)?;
        let started = model.process.as_ref().map(|process| process.started);
        let unit = model.what.unit.as_ref().map(|_| {
            let [active_state, sub_state] = match started {
                Some(_) => ["active", "running"],
                None => ["failed", "failed"],
            };
            Seen::Present(UnitFacts {
                active_state: active_state.to_owned(),
                sub_state: sub_state.to_owned(),
                invocation_id: Some(format!("{:032x}", model.starts)),
                main_pid: started.map(|_| model.starts),
                started,
                restarts: None,
                up_seconds: None,
                result: None,
                unit_file_state: Some("enabled".to_owned()),
                flags: std::collections::BTreeMap::new(),
            })
        });
        let endpoints = model.what.ports.iter().enumerate().map(|(index, port)| {
            let probe = match (self.served(model, index), started) {
                (Some(certificate), _) => Probe::Served(Box::new(Served {
                    certificate,
                    chain: Vec::new(),
                    version: Some("1.3".to_owned()),
                    client: ClientCertificate::Required,
                    accepts: Vec::new(),
                    trouble: None,
                })),
                (None, Some(_)) => Probe::Refused,
                (None, None) => Probe::NotListening,
            };
            let program = name.to_string();
            let process = |started| Seen::Present(ProcessFacts { started, pid: model.starts, program });
            EndpointFacts {
                port: port.port,
                address: started.map(|_| port.address),
                serves: Some(port.serves.clone()),
                server_name: None,
                probe,
                process: started.map_or(Seen::Absent, process),
            }
        });
        Some(ServiceFacts { unit, endpoints: endpoints.collect() })
    }

    /// Whether a gate holds; one about something that is not here does.
    pub(super) fn gate_holds(&self, gate: &HealthCheck) -> Result<(), String> {
        let at = |port: u16| {
            self.models.values().find_map(|model| {
                let index = model.what.ports.iter().position(|known| known.port == port)?;
                Some((model, index))
            })
        };
        match gate {
            HealthCheck::Active { unit }
            | HealthCheck::Started { unit }
            | HealthCheck::Restarted { unit } => {
                let name = self.named(|what| what.unit.as_ref() == Some(unit));
                let is_up = name.is_none_or(|name| self.is_running(name.as_str()).is_some());
                if is_up { Ok(()) } else { Err("it is failed".to_owned()) }
            }
            HealthCheck::Listens { port, .. }
            | HealthCheck::Replaced { port, .. }
            | HealthCheck::Etcd { port, .. } => {
                let Some((model, index)) = at(*port) else { return Ok(()) };
                self.served(model, index).map(|_| ()).ok_or_else(|| "nothing listens".to_owned())
            }
            HealthCheck::Serves { port, certificate, .. } => {
                let Some((model, index)) = at(*port) else { return Ok(()) };
                let served = self.served(model, index).ok_or("nothing listens")?;
                let is_it = self.first_certificate(certificate).as_ref() == Some(&served);
                if is_it { Ok(()) } else { Err("it shows another one".to_owned()) }
            }
            // Nobody calls anybody here.
            HealthCheck::Http { .. } | HealthCheck::Ready { .. } | HealthCheck::Accepts(_) => Ok(()),
        }
    }
}

/// Whether two objects are the same file.
pub(super) fn same_file(one: Option<&Object>, other: Option<&Object>) -> bool {
    matches!((one, other), (Some(Object::File(one)), Some(Object::File(other))) if one == other)
}
