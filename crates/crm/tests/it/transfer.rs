//! Files of accounts and deals, odd files, exports, and who may do what.

use contracts::crm::v1 as wire;
use contracts::crm::v1::export_service_client::ExportServiceClient;
use contracts::crm::v1::import_service_client::ImportServiceClient;
use crm::domain::extras::Object;
use crm::transfer::{ExportQuery, Upload, UploadHead, export};
use futures::TryStreamExt as _;
use rpc::Role;
use tonic::Code;
use tonic::transport::Channel;

use crate::harness::*;
use crate::imports_desk::*;

async fn file(desk: &Desk<'_>, object: Object, ndjson: bool) -> String {
    let query = ExportQuery {
        object,
        ndjson,
        filters: Vec::new(),
        tree: None,
        sort: Some("name".to_owned()),
    };
    let parts = export(desk.world.records.clone(), *desk.scope(), query)
        .await
        .unwrap();
    let parts: Vec<Vec<u8>> = parts.try_collect().await.unwrap();
    String::from_utf8(parts.concat()).unwrap()
}

const ACCOUNTS: &str = "Record ID,Company name,Company Domain Name,Industry,Number of Employees,Create Date\n\
    1,Acme,https://www.acme.com/about,Software,\"1,200\",2026-01-01\n\
    2,Beta,beta.dev,,,2026-01-01\n\
    3,Acme again,acme.com,Hardware,,2026-01-01\n\
    4,Bad,no domain,,many,2026-01-01\n";

const DEALS: &str = "Deal Name;Deal Stage;Amount;Currency;Close Date;Associated Company;contactEmails\n\
    Big;Negotiation;1.234,50;EUR;31.12.2026;acme again;ada@acme.com\n\
    Won;closed_won;$100;;2026-12-31;Beta;\n\
    Lost;Closed lost;;;;Beta;\n\
    Odd;no such stage;;;;Beta;\n\
    Lone;;;;;Nobody Inc;\n";

#[tokio::test]
async fn accounts_and_deals_are_imported_with_their_relations_and_go_again() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 100);
    desk.bring(Object::Contact, "email\nada@acme.com\n").await;
    // The default pipeline is made with the first deal and stays.
    let warm = desk.bring(Object::Deal, "name\nfirst\n").await;
    desk.undo(warm.id).await;
    let before = desk.state().await;
    let accounts = desk.bring(Object::Account, ACCOUNTS).await;
    assert_eq!(
        outcomes(&desk.rows(&accounts).await),
        [
            "created",
            "created",
            "updated",
            "error domain:invalid_domain employees:out_of_range"
        ]
    );
    let between = desk.state().await;
    let deals = desk.upload(Object::Deal, DEALS.as_bytes()).await;
    let fields: Vec<_> = deals
        .columns
        .iter()
        .map(|c| c.field.clone().unwrap_or_default())
        .collect();
    assert_eq!(
        fields,
        [
            "name",
            "stage",
            "amount",
            "currency",
            "expectedCloseOn",
            "accountName",
            "contactEmails"
        ]
    );
    let deals = desk.commit(deals.id).await;
    let expected = [
        "created",
        "created",
        "created",
        "error stage:not_found",
        "error accountName:not_found",
    ];
    assert_eq!(outcomes(&desk.rows(&deals).await), expected);
    let state = desk.state().await;
    let shown = state["deals"].as_array().unwrap();
    assert_eq!(shown.len(), 3);
    assert!(
        shown
            .iter()
            .any(|deal| deal[1] == "Big" && deal[5] == 1234 && deal[7] == "2026-12-31")
    );
    assert_eq!(state["members"].as_array().unwrap().len(), 1);
    // The same file again changes nothing.
    let again = desk.bring(Object::Deal, DEALS).await;
    assert_eq!(again.counts[..5], [0, 0, 3, 0, 2]);
    desk.undo(again.id).await;
    desk.undo(deals.id).await;
    assert_eq!(desk.state().await, between);
    desk.undo(accounts.id).await;
    assert_eq!(desk.state().await, before);
}

#[tokio::test]
async fn accounts_that_rows_name_are_made_and_taken_back() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 2);
    let file = "email,accountDomain\na@acme.com,acme.com\nb@acme.com,www.acme.com\nc@beta.dev,beta.dev\n";
    let before = desk.state().await;
    let refused = desk.bring(Object::Contact, file).await;
    assert_eq!(refused.counts[4], 3, "no account is made unless asked");
    let import = desk.upload(Object::Contact, file.as_bytes()).await;
    desk.set(&import, |edit| {
        edit.options.as_mut().unwrap().create_accounts = true
    })
    .await;
    let import = desk.commit(import.id).await;
    assert_eq!(import.counts[..5], [3, 0, 0, 0, 0]);
    let state = desk.state().await;
    let counts: Vec<_> = state["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a[2].as_str().unwrap().to_owned(), a[10].as_i64().unwrap()))
        .collect();
    assert_eq!(counts, [("acme.com".to_owned(), 2), ("beta.dev".to_owned(), 1)]);
    let import = desk.undo(import.id).await;
    assert_eq!(import.counts[5..], [3, 0]);
    assert_eq!(desk.state().await, before);
}

#[tokio::test]
async fn odd_files_are_refused_whole_and_leave_nothing() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 100);
    let wide = "a,".repeat(100_000);
    let open = format!("email\n\"{}", "x\n".repeat(700_000));
    let files: [(&[u8], &str); 4] = [
        (b"", "empty"),
        (wide.as_bytes(), "too_many_columns"),
        (open.as_bytes(), "unclosed_quote"),
        (b"\n\n\n", "empty"),
    ];
    for (file, code) in files {
        let head = UploadHead::read("contact", None, None, None).unwrap();
        let mut upload = Upload::begin(&world.records, &desk.settings, &desk.write, head)
            .await
            .unwrap();
        upload.take(file).await.unwrap();
        let id = upload.id();
        let error = upload.end().await.unwrap_err();
        let told = errors::ErrorDomain::to_api(&error);
        assert_eq!(told.fields[0].code, code);
        Upload::give_up(&world.records, desk.scope(), id).await;
    }
    let head = UploadHead::read("contact", None, None, None).unwrap();
    let small = crm::config::ImportSettings {
        max_bytes: 2_000,
        ..settings(10)
    };
    let mut upload = Upload::begin(&world.records, &small, &desk.write, head)
        .await
        .unwrap();
    assert!(upload.take(&[b'x'; 3_000]).await.is_err());
    assert!(UploadHead::read("thing", None, Some("utf-99"), Some("::")).is_err());
    // Formulas, NULs and too many cells are told at their rows.
    let import = desk
        .bring(
            Object::Contact,
            "email,name\n=cmd()@x.dev,=1+1\na@x.dev,a\0b\nb@x.dev,B,more\n",
        )
        .await;
    assert_eq!(
        outcomes(&desk.rows(&import).await),
        [
            "error email:invalid_email",
            "error name:invalid_character",
            "error :too_many_cells"
        ]
    );
    let (latin, _, _) = encoding_rs::WINDOWS_1252.encode("email;name\nj@x.dev;Jürgen Groß\n");
    let import = desk.upload(Object::Contact, &latin).await;
    assert_eq!(
        (import.encoding.as_str(), import.separator.as_str()),
        ("windows-1252", ";")
    );
    desk.commit(import.id).await;
    assert!(file(&desk, Object::Contact, false).await.contains("Jürgen Groß"));
}

#[tokio::test]
async fn what_is_exported_is_imported_again_as_it_was() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 100);
    desk.bring(
        Object::Account,
        "name,domain,industry\nAcme,acme.com,\"a, \"\"b\"\"\"\n",
    )
    .await;
    let people = "email,name,title,tags,accountDomain,github\n\
        ada@acme.com,\"Ada, the first\",'=1+1,vip;math,acme.com,ada\ngrace@beta.dev,-Grace,,,,\n";
    desk.bring(Object::Contact, people).await;
    desk.bring(
        Object::Deal,
        "name,accountDomain,amount,stage\nBig,acme.com,EUR 12.50,negotiation\n",
    )
    .await;
    let other = Desk::new(&world, new_org(), 100);
    for object in [Object::Account, Object::Contact] {
        let exported = file(&desk, object, false).await;
        let same = desk.bring(object, &exported).await;
        assert_eq!(same.counts[2], same.rows, "{exported}");
        let import = other.bring(object, &exported).await;
        assert_eq!(
            (import.layout.as_str(), import.counts[0]),
            ("devsignal", import.rows)
        );
    }
    let contacts = file(&desk, Object::Contact, false).await;
    assert!(
        contacts.contains(",'=1+1,") && contacts.contains(",'-Grace,"),
        "{contacts}"
    );
    let state = other.state().await;
    let shown: Vec<_> = state["contacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c[1].clone(), c[4].clone(), c[9].clone()))
        .collect();
    assert!(
        shown.contains(&(
            "Ada, the first".into(),
            "=1+1".into(),
            serde_json::json!(["vip", "math"])
        )),
        "{shown:?}"
    );
    let deals = desk
        .bring(Object::Deal, &file(&desk, Object::Deal, false).await)
        .await;
    assert_eq!(deals.counts[2], 1);
    let lines = file(&desk, Object::Contact, true).await;
    assert_eq!(lines.lines().count(), 2);
    for line in lines.lines() {
        let read: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(read["id"].is_string());
    }
}

#[tokio::test]
async fn an_export_longer_than_a_page_has_every_record_once() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 500);
    let rows: String = (0..450).map(|n| format!("p{n}@acme.com\n")).collect();
    desk.bring(Object::Contact, &format!("email\n{rows}")).await;
    let lines = file(&desk, Object::Contact, false).await;
    let ids: std::collections::BTreeSet<&str> = lines
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!((lines.lines().count(), ids.len()), (451, 450));
}

async fn served(
    world: &World,
    desk: &Desk<'_>,
) -> (ImportServiceClient<Channel>, ExportServiceClient<Channel>) {
    let url = serve(world, |server| {
        crm::app::with_transfer(server, &world.records, &desk.settings, &desk.worker)
    })
    .await;
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    (
        ImportServiceClient::new(channel.clone()),
        ExportServiceClient::new(channel),
    )
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_file_goes_in_by_grpc_and_out_again_and_nobody_else_sees_it() {
    let world = World::new().await;
    let org = new_org();
    let desk = Desk::new(&world, org, 100);
    let (mut imports, mut exports) = served(&world, &desk).await;
    let member = world.caller(org);
    let parts = |content: &[&str]| {
        let parts: Vec<wire::UploadImportRequest> = content
            .iter()
            .map(|text| wire::UploadImportRequest {
                object: "contact".to_owned(),
                content: text.as_bytes().to_vec(),
                ..Default::default()
            })
            .collect();
        futures::stream::iter(parts)
    };
    let viewer = world.caller(org).role(Role::Viewer);
    let refused = imports.upload_import(viewer.asks(parts(&["email\n"]))).await;
    assert_eq!(failure(refused).0, Code::PermissionDenied);
    let uploaded = imports
        .upload_import(member.asks(parts(&["em", "ail,name\na@x", ".dev,A\nbad,B\n"])))
        .await
        .unwrap();
    let import = uploaded.into_inner().import.unwrap();
    assert_eq!((import.rows, import.state.as_str()), (2, "uploaded"));
    let id = || import.id.clone();
    let rows = wire::ListImportRowsRequest {
        import_id: id(),
        ..Default::default()
    };
    let page = imports
        .list_import_rows(member.asks(rows.clone()))
        .await
        .unwrap()
        .into_inner();
    let shown: Vec<_> = page
        .data
        .iter()
        .map(|row| (row.outcome.as_str(), row.problems.first().and_then(|p| p.column)))
        .collect();
    assert_eq!(shown, [("created", None), ("error", Some(0))]);
    let change = wire::UpdateImportRequest {
        import_id: id(),
        columns: vec![wire::ImportColumnChange {
            index: 1,
            field: Some("nothing".to_owned()),
        }],
        ..Default::default()
    };
    let (code, _, places) = failure(imports.update_import(member.asks(change)).await);
    assert_eq!(
        (code, places[0].0.as_str()),
        (Code::InvalidArgument, "/columns/1/field")
    );
    let scoped = world.caller(org).scopes(&["imports:write"]);
    let commit = wire::CommitImportRequest {
        import_id: id(),
        if_version: None,
    };
    assert_eq!(
        failure(imports.commit_import(scoped.asks(commit.clone())).await).0,
        Code::PermissionDenied
    );
    let stranger = world.caller(new_org());
    assert_eq!(
        failure(imports.commit_import(stranger.asks(commit.clone())).await).0,
        Code::NotFound
    );
    imports.commit_import(member.asks(commit.clone())).await.unwrap();
    while desk.worker.work().await.unwrap() {}
    assert_eq!(
        failure(imports.commit_import(member.asks(commit)).await).1,
        "conflict"
    );
    let only = wire::ListImportRowsRequest {
        filter: [("outcome".to_owned(), "error".to_owned())].into(),
        ..rows
    };
    let page = imports
        .list_import_rows(member.asks(only))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.data.iter().map(|row| row.row).collect::<Vec<_>>(), [2]);
    let report = wire::ExportImportReportRequest { import_id: id() };
    let parts: Vec<_> = imports
        .export_import_report(member.asks(report))
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    let report = String::from_utf8(parts.into_iter().flat_map(|part| part.content).collect()).unwrap();
    assert!(
        report.starts_with("row,outcome,id,problems,undo,email,name\r\n1,created,"),
        "{report}"
    );
    let ask = |filter: &[(&str, &str)]| wire::ExportRecordsRequest {
        object: "contact".to_owned(),
        format: "csv".to_owned(),
        filter: filter
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        ..Default::default()
    };
    let parts: Vec<_> = exports
        .export_records(member.asks(ask(&[("email", "a@x.dev")])))
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    let text = String::from_utf8(parts.into_iter().flat_map(|part| part.content).collect()).unwrap();
    assert_eq!(text.lines().count(), 2);
    let refused = exports.export_records(member.asks(ask(&[("what", "x")]))).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let narrow = world.caller(org).scopes(&["exports:read"]);
    assert_eq!(
        exports
            .export_records(narrow.asks(ask(&[])))
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    let delete = wire::DeleteImportRequest { import_id: id() };
    imports.delete_import(member.asks(delete)).await.unwrap();
    let get = wire::GetImportRequest { import_id: id() };
    assert_eq!(
        failure(imports.get_import(member.asks(get)).await).0,
        Code::NotFound
    );
}
