//! The names of a certificate, and whose word each value is that a plan takes from a node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::desired::{Dispute, Told};
use crate::types::storage::Storage;
use crate::x509::Certificate;
use crate::x509::chain::is_issued_by;

use crate::plan::draft::Builder;
use crate::plan::draft::identities::{Case, NotIssued};

/// Most certificates between a leaf and its CA that are followed upwards.
const LONGEST_CHAIN: usize = 8;

impl Case<'_> {
    /// The names that it should have, and those that it has now unless the spec excludes them: people add load balancers by hand. Of a certificate that
    /// no CA in use vouches for nothing is kept: whoever may write the file could have put any name into it.
    pub(crate) fn names(
        &self,
        builder: &Builder<'_>,
        old: Option<&Certificate>,
    ) -> Result<(BTreeSet<String>, BTreeSet<IpAddr>), NotIssued> {
        let wanted = &self.wanted.names;
        let (mut dns, mut ip) = (wanted.dns.clone(), wanted.ip.clone());
        if let Some(dispute) = &wanted.disputed {
            return Err(NotIssued::of(dispute));
        }
        let old = old.filter(|old| self.is_vouched_for(builder, old));
        match old {
            Some(old) if !wanted.exact => {
                let held = &old.facts().names;
                let known: BTreeSet<String> = dns.iter().map(|name| name.to_ascii_lowercase()).collect();
                dns.extend(
                    held.dns.iter().filter(|name| !known.contains(&name.to_ascii_lowercase())).cloned(),
                );
                ip.extend(held.ip.iter().copied());
            }
            Some(_) => {}
            None if !wanted.unresolved.is_empty() => {
                let unresolved: Vec<&str> = wanted.unresolved.iter().map(String::as_str).collect();
                return Err(NotIssued::Blocked(
                    format!("some of its names are not known: {}", unresolved.join(", ")),
                    Some(
                        "declare spec.cluster (controlPlaneEndpoint, serviceSubnet) and the node's address"
                            .to_owned(),
                    ),
                ));
            }
            None => {}
        }
        Ok((dns, ip))
    }

    /// Whether a certificate was issued under a CA that is in use: the one that signs, one that goes, or one that every node trusts.
    fn is_vouched_for(&self, builder: &Builder<'_>, old: &Certificate) -> bool {
        let Some(authority) = &self.wanted.authority else { return true };
        let Some(view) = builder.held.authorities.get(authority) else { return false };
        let are_mixed = builder.stays(authority).is_some();
        let everywhere = view.certificates.values().flatten().filter(|certificate| {
            are_mixed || view.certificates.values().all(|held| held.contains(certificate))
        });
        let replacement = builder.replacements.get(authority);
        let leaving = replacement.into_iter().flat_map(|replacement| replacement.succession.leaving.values());
        let in_use: Vec<&Certificate> =
            view.signer().into_iter().chain(leaving.map(|(leaving, _)| leaving)).chain(everywhere).collect();
        let mut below = old;
        for _ in 0..LONGEST_CHAIN {
            if in_use.iter().any(|issuer| is_issued_by(below, issuer)) {
                return true;
            }
            match self.view.chain.iter().find(|above| *above != below && is_issued_by(below, above)) {
                Some(above) => below = above,
                None => return false,
            }
        }
        false
    }

    /// What comes into a certificate or kubeconfig by the word of a node, and is not in it yet.
    pub(crate) fn told(&self, (dns, ip): (&BTreeSet<String>, &BTreeSet<IpAddr>)) -> Vec<Told> {
        let held = self.view.certificate.as_ref().map(|held| &held.facts().names);
        let names = self.wanted.names.told.iter().filter(|(text, _)| match text.parse::<IpAddr>() {
            Ok(address) => ip.contains(&address) && !held.is_some_and(|held| held.ip.contains(&address)),
            Err(_) => dns.contains(*text) && !held.is_some_and(|held| held.dns.contains(*text)),
        });
        names.map(|(_, word)| word.clone()).chain(self.server_told()).collect()
    }

    /// Whose word it is where a kubeconfig leads that is made new.
    pub(crate) fn server_told(&self) -> Option<Told> {
        let Storage::Kubeconfig { server: Some(server), .. } = self.storage else { return None };
        self.wanted.server_told.clone().filter(|told| told.value == *server && self.view.form_is_absent())
    }
}

impl NotIssued {
    /// Nodes contradict each other about a value, so nobody guesses.
    pub(crate) fn of(dispute: &Dispute) -> Self {
        Self::Blocked(dispute.because.clone(), Some(dispute.help.clone()))
    }
}
