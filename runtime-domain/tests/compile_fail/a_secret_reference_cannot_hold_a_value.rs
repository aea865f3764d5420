//! Shows SEC-1.
//! Nothing of a secret is made of whatever text: every type has one parser, and that may refuse.

use runtime_domain::secrets::{Delivery, KeyVaultReference, ManagedIdentityRef, SecretReference, SecretVersion};

fn smuggle(value: String) {
    let _: SecretVersion = value.clone().into();
    let _: KeyVaultReference = value.clone().into();
    let _: SecretReference = value.clone().into();
    let _: ManagedIdentityRef = value.clone().into();
    let _: Delivery = value.clone().into();
    let _ = ManagedIdentityRef(value);
}

fn main() {}
