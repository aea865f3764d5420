//! Texts as people write them, and as somebody might who means no good.

use factory_runtime_fuzz::{ISSUED, claims};
use serde_json::json;

use super::{Seeds, numbered};

/// A door's seeds.
pub fn of(target: &str) -> Seeds {
    match target {
        "image_reference" => numbered([
            "shop/cart:1.4.2",
            "registry.example:5000/shop/cart:1.4.2",
            "shop/cart@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            "shop/cart:1@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            "sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            "a.b_c-d__e/f:v",
            "Shop/Cart:latest",
            "shop/../cart:1",
            "shop//cart:1",
        ]),
        "configuration_key" => numbered([
            "LOG_LEVEL",
            "Logging:Level:Default",
            "a.b-c__d",
            "environment",
            "service:cart",
            "tenant:ten_00000000000000000000000000000001",
            "0.05",
            "-12345678901234567890.5",
            "sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            r#"{"type":"text","value":"warn"}"#,
            r#"{"type":"number","value":0.05}"#,
            r#"{"type":"boolean","value":true}"#,
            r#"{"type":"json","value":{"limit":5,"of":["a",null]}}"#,
            r#"{"type":"secret","value":{"binding":"sec_00000000000000000000000000000001","version":"7"}}"#,
            r#"{"key":"LOG_LEVEL","scope":"service:cart","type":"text","value":"warn"}"#,
            r#"{"key":"LOG_LEVEL","scope":"environment","value":{"type":"text","value":"warn"}}"#,
        ]),
        "configuration_json" => numbered([
            r#"{"limit":5,"of":["a",null,true],"at":{"x":-0.50,"y":1e3}}"#,
            r#" [ 1 , 2.0 , 12345678901234567890 ] "#,
            r#""A \u0041 \ud83d\ude00 \n \/ \"""#,
            "[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]",
            r#"{"a":1,"a":2}"#,
            "-0",
        ]),
        "probe_url" => numbered([
            "http://service.example",
            "http://service.example:8080/ready",
            "http://10.0.0.1:80/",
            "http://[2001:db8::1]:443/health/live",
            "http://user:word@service.example/",
            "/ready?full=1",
            "service.example:8080",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "::/0",
            "64:ff9b::/64",
            "2001:db8::/32",
            "::ffff:169.254.0.0/112",
            "[::ffff:127.0.0.1]:80",
            "0x7f.1:80",
            "localhost",
            "Service.Example.",
        ]),
        "normaliser" => normaliser(),
        "archive" => archive(),
        "words" => words(),
        other => panic!("nothing is written for {other}"),
    }
}

/// Tokens that were given out, claims that are signed, and what nobody signed.
pub fn tokens() -> Seeds {
    let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "1" });
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims();
        claims[name] = value;
        format!("{header}\n{claims}")
    };
    let claims_and_header = format!("{header}\n{}", claims());
    let (signed, _) = ISSUED[0].rsplit_once('.').unwrap();
    let mut seeds = ISSUED.to_vec();
    seeds.extend([
        claims_and_header.clone(),
        claims_and_header.replace("EdDSA", "none"),
        claims_and_header.replace("EdDSA", "HS256"),
        claims_and_header.replace("\"kid\":\"1\"", "\"kid\":\"2\",\"crit\":[\"b64\"]"),
        with("aud", json!(["somebody-else", "factory-runtime"])),
        with("roles", json!("viewer administrator")),
        with("exp", json!(1.8e9)),
        with("tenant", json!("00000001-0000-0000-0000-000000000001")),
        with("cnf", json!({ "jkt": "x" })),
        format!("{signed}."),
        format!("{signed}.AAAA"),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
    ]);
    numbered(seeds)
}

fn normaliser() -> Seeds {
    let rules = json!([
        { "path": ["cpu"], "treatment": "quantity" },
        { "path": ["replicas"], "treatment": { "absent-means": 1 } },
        { "path": ["env"], "treatment": { "unordered": "name" } },
        { "path": ["tags"], "treatment": { "unordered": null } },
        { "path": ["*", "status"], "treatment": "ignored" },
    ]);
    let compared =
        |desired, actual| json!({ "desired": desired, "actual": actual, "rules": rules }).to_string();
    let env = |first, second| json!([{ "name": first, "value": 1 }, { "name": second, "value": 2 }]);
    numbered([
        compared(json!({ "cpu": "500m", "replicas": 1 }), json!({ "cpu": 0.5 })),
        compared(
            json!({ "cpu": "1Gi", "env": env("a", "b") }),
            json!({ "cpu": 1_073_741_824, "env": env("b", "a") }),
        ),
        compared(json!({ "tags": [1, "1", null, [2]] }), json!({ "tags": [[2], 1, "1", null] })),
        compared(
            json!({ "spec": { "status": 1, "password": "x" } }),
            json!({ "spec": { "status": 2, "password": "y" } }),
        ),
        compared(json!({ "env": [{ "name": "DB_PASSWORD", "value": "x" }] }), json!({ "env": [] })),
        compared(json!({ "a/b": { "c~d": [1, 2, 3] } }), json!({ "a/b": { "c~d": [1, 2] } })),
        compared(json!(null), json!([{ "x": 1e300 }, -0.0, 1e-7])),
    ])
}

fn archive() -> Seeds {
    numbered([
        "folder 755 app\nfile 755 app/run = #!/bin/sh\nfile 644 app/data = 1\n",
        "file 4755 run = x\nsymlink 777 door -> run\nlink 644 again -> run\n",
        "folder 755 real\nsymlink 777 door -> /real\n---\nfile 644 door/x = x\n",
        "file 644 real/kept = x\n---\nfile 644 real/.wh.kept\nfile 644 real/.wh..wh..opq\n",
        "file 644 ../outside = x\n",
        "file 644 /etc/passwd = x\n",
        "symlink 777 door -> ../outside\n",
        "symlink 777 a -> b\nsymlink 777 b -> a\nlink 644 c -> a\n",
        "folder 755 a\nfolder 755 a/b\nsymlink 777 a/b/up -> ../..\nlink 644 up -> a/b/up\n",
        "fifo 644 pipe\ndevice 644 null\n",
        "raw\nnot an archive",
    ])
}

fn words() -> Seeds {
    numbered([
        "env_0000000000000000000000000000000a",
        "dep_0000000000000000000000000000000a",
        "ten_0000000000000000000000000000000a",
        "evt_0000000000000000000000000000000a",
        "cor_0000000000000000000000000000000a",
        "sec_0000000000000000000000000000000a",
        "cart@dep_0000000000000000000000000000000a",
        "cart-2",
        "1.4.2-rc.1+build.5",
        "-12.500000",
        "1h30m",
        "250ms",
        "0 8 * * mon-fri",
        "0 8 1,15 */2 * Europe/Berlin",
        "every 15m",
        "24:00",
        "08:30",
        "azure:00000000-0000-0000-0000-00000000000a",
        "kubernetes:shop/cart",
        "local:shop",
        "https://shop-keys.vault.azure.net/secrets/db/0123456789abcdef0123456789abcdef",
        "vault://shop/db?version=7#password",
        "openbao://shop/a/b?version=7#password",
        "local://shop/db/7",
        "file:db-key",
        "env:DB_KEY",
        "environments/prod/shop",
        "git:0123456789abcdef0123456789abcdef01234567",
        "pulumi:shop@7",
        "factory.runtime.RuntimeDeploymentCompleted.v1",
        "RuntimeDeployment/0000000000000000000000000000000a",
        "RuntimeDeployment",
        "sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
        "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
        "/runtime/host-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ])
}
