//! Every route, every role, every scope: who may use what follows from the rule of its method and from nothing else.

use contracts::access::{Permission, RULES, rule_of};
use prost_reflect::{DescriptorPool, Value as Reflected};
use reqwest::Method;
use rpc::Role;

use crate::fakes::KNOWN;
use crate::harness::Gateway;

struct Route {
    http_method: &'static str,
    path: String,
    grpc: String,
}

/// All routes of the contract, with some id for each parameter of a path.
fn routes() -> Vec<Route> {
    let pool = DescriptorPool::decode(contracts::DESCRIPTORS).unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let mut routes = Vec::new();
    for method in pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()) {
        let options = method.options();
        if !options.has_extension(&http) {
            continue;
        }
        let Reflected::Message(rule) = options.get_extension(&http).into_owned() else {
            unreachable!()
        };
        let more = rule.get_field_by_name("additional_bindings").unwrap();
        let more = more
            .as_list()
            .unwrap()
            .iter()
            .map(|v| v.as_message().unwrap().clone());
        for rule in std::iter::once(rule.clone()).chain(more.collect::<Vec<_>>()) {
            for (field, http_method) in [
                ("get", "GET"),
                ("post", "POST"),
                ("put", "PUT"),
                ("patch", "PATCH"),
                ("delete", "DELETE"),
            ] {
                let template = rule.get_field_by_name(field).unwrap();
                let template = template.as_str().unwrap().to_owned();
                if template.is_empty() {
                    continue;
                }
                let path = template
                    .split('/')
                    .map(|part| if part.starts_with('{') { KNOWN } else { part })
                    .collect::<Vec<_>>()
                    .join("/");
                let grpc = format!("/{}/{}", method.parent_service().full_name(), method.name());
                routes.push(Route {
                    http_method,
                    path,
                    grpc,
                });
            }
        }
    }
    routes
}

fn may(role: Role, permission: Permission) -> bool {
    match permission {
        Permission::Public => true,
        Permission::Read => true,
        Permission::Write => role != Role::Viewer,
        Permission::Admin => matches!(role, Role::Owner | Role::Admin),
        Permission::Owner => role == Role::Owner,
        // Keys are no persons, and no services of ours.
        Permission::Self_ | Permission::System => false,
    }
}

async fn status(gateway: &Gateway, route: &Route, key: Option<&str>) -> u16 {
    let method: Method = route.http_method.parse().unwrap();
    let mut request = gateway
        .client
        .request(method, format!("{}{}", gateway.base, route.path));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if matches!(route.http_method, "POST" | "PUT" | "PATCH") {
        request = request.header("content-type", "application/json").body("{}");
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_02_every_route_is_open_to_the_roles_of_its_rule_and_to_no_other() {
    let gateway = Gateway::start().await;
    let routes = routes();
    let mut walked = 0;
    for role in [Role::Owner, Role::Admin, Role::Member, Role::Viewer] {
        let (_, key) = gateway.key(role, &[]).await;
        for route in &routes {
            let rule = rule_of(&route.grpc).unwrap();
            let status = status(&gateway, route, Some(&key)).await;
            let what = format!("{role:?} {} {}: {status}", route.http_method, route.path);
            assert_eq!(status == 403, !may(role, rule.permission), "{what}");
            assert!(
                status != 401 && status != 404 || route.path.contains(KNOWN),
                "{what}"
            );
            walked += 1;
        }
    }
    let public: std::collections::HashSet<_> = routes.iter().map(|r| r.grpc.as_str()).collect();
    let ruled = RULES.iter().filter(|r| public.contains(r.method)).count();
    assert_eq!(ruled, public.len(), "every public method has its rule");
    assert_eq!(walked, 4 * routes.len());
    assert!(routes.len() > 50, "the walk saw the whole contract");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_callers_without_credentials_and_keys_of_another_scope() {
    let gateway = Gateway::start().await;
    let (_, elsewhere) = gateway.key(Role::Owner, &["nothing:read", "nothing:write"]).await;
    for route in routes() {
        let rule = rule_of(&route.grpc).unwrap();
        if rule.permission == Permission::Public {
            continue;
        }
        assert_eq!(status(&gateway, &route, None).await, 401, "{}", route.path);
        assert_eq!(
            status(&gateway, &route, Some(&elsewhere)).await,
            403,
            "{}",
            route.path
        );
    }
    assert!(gateway.untouched());
}
