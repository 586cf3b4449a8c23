//! Which findings a new certificate mends.

use crate::diff::Reason;

/// Whether a reason is mended by issuing the certificate anew.
pub(crate) fn reissues(reason: &Reason) -> bool {
    match reason {
        Reason::Refused { reissue, .. } => *reissue,
        Reason::Missing
        | Reason::Requested
        | Reason::Signed { .. }
        | Reason::ExpiresSoon { .. }
        | Reason::Expired { .. }
        | Reason::NotYetValid { .. }
        | Reason::IssuedBefore { .. }
        | Reason::IssuerGoes { .. }
        | Reason::SubjectDiffers { .. }
        | Reason::NamesMissing { .. }
        | Reason::NamesUnwanted { .. }
        | Reason::UsagesDiffer { .. }
        | Reason::KeyAlgorithmDiffers { .. }
        | Reason::KeyMismatch { .. }
        | Reason::KeyMissing
        | Reason::KeyEncrypted { .. }
        | Reason::NotTrusted { .. }
        | Reason::WeakSignature { .. }
        | Reason::WeakKey { .. }
        | Reason::Unparseable { .. }
        | Reason::ForeignContent { .. }
        | Reason::ZeroLength { .. }
        | Reason::NotPem { .. }
        | Reason::LinkDangling { .. }
        | Reason::KubeconfigIncomplete { .. } => true,
        Reason::AwaitsCertificate { .. }
        | Reason::IssuerEndsFirst { .. }
        | Reason::WrongIssuer { .. }
        | Reason::PublicKeyMissing
        | Reason::PublicKeyMismatch { .. }
        | Reason::NotADirectory { .. }
        | Reason::NotACa
        | Reason::OutlivesIssuer { .. }
        | Reason::RefusedByOpenssl { .. }
        | Reason::BundleLacks { .. }
        | Reason::RootDiffers { .. }
        | Reason::Distrusted { .. }
        | Reason::KeyInSnapshots { .. }
        | Reason::SnapshotsUnread { .. }
        | Reason::SuccessorKeyLost { .. }
        | Reason::Waived { .. }
        | Reason::BundleHasStray(_)
        | Reason::BegunByHand { .. }
        | Reason::AlsoTrusted { .. }
        | Reason::TrustedAnyway { .. }
        | Reason::SignerIsBundle { .. }
        | Reason::CannotReplace { .. }
        | Reason::BundleDuplicates { .. }
        | Reason::ChainOutdated { .. }
        | Reason::PermissionsDiffer { .. }
        | Reason::OwnerDiffers { .. }
        | Reason::LinkMissing { .. }
        | Reason::LinkDiffers { .. }
        | Reason::LinkLoops { .. }
        | Reason::LinkIsDirectory { .. }
        | Reason::LinkIsFile { .. }
        | Reason::CannotMove { .. }
        | Reason::DiffersBetweenNodes { .. }
        | Reason::CopyMissing { .. }
        | Reason::CopyDiffers { .. }
        | Reason::CopyOutdated { .. }
        | Reason::ServedDiffersFromFile { .. }
        | Reason::StartedBeforeFile { .. }
        | Reason::LoopbackEnds { .. }
        | Reason::CaKeyOnWrongNode { .. }
        | Reason::NotAFile { .. }
        | Reason::OtherMachine { .. }
        | Reason::AddressOfAnother { .. }
        | Reason::ClockSkew { .. }
        | Reason::TakesCareItself { .. }
        | Reason::StoppedByHand { .. }
        | Reason::EtcdNotSaved { .. }
        | Reason::NotInSpec { .. }
        | Reason::NotAsDeclared { .. }
        | Reason::AuthorityKeyLost
        | Reason::OtherCredentials { .. }
        | Reason::KubeletRotates
        | Reason::KubeletDoesNotRotate
        | Reason::UnsafeLink { .. }
        | Reason::ForeignDirectory { .. }
        | Reason::KeyBehindLink { .. }
        | Reason::Skipped
        | Reason::Unknown { .. } => false,
    }
}
