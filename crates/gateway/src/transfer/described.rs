//! What goes in and out as files, for the OpenAPI document.

use crate::http::ByHand;
use crate::openapi::problems_of;

/// The routes of this module.
#[must_use]
pub fn described() -> Vec<ByHand> {
    let query = |name: &str, required: bool, description: &str| serde_json::json!({"name": name, "in": "query", "required": required, "schema": {"type": "string"}, "description": description});
    let with_problems = |mut operation: serde_json::Value, statuses: &[u16]| {
        for (status, problem) in problems_of(statuses) {
            operation["responses"][status] = problem;
        }
        Some(operation)
    };
    let mut object = query("object", true, "What the rows are.");
    object["schema"]["enum"] = serde_json::json!(["account", "contact", "deal"]);
    let upload = serde_json::json!({
        "operationId": "uploadImport", "tags": ["Import"],
        "summary": "Takes a file in and proposes what its columns are",
        "description": "The body is the file itself: CSV with commas, semicolons, tabs or bars, in any encoding. Nothing is changed before `commit`.",
        "parameters": [object, query("fileName", false, "Name of the file."),
            query("encoding", false, "Its encoding (a label of the WHATWG standard), if it is known better than it can be guessed."),
            query("separator", false, "`,`, `;`, `|` or `tab`, if it is known better than it can be guessed.")],
        "requestBody": {"required": true, "content": {"text/csv": {"schema": {}}}},
        "responses": {"201": {"description": "The import.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Import"}}}}},
    });
    let csv = || serde_json::json!({"200": {"description": "The file.", "content": {"text/csv": {"schema": {"type": "string"}}}}});
    let report = serde_json::json!({
        "operationId": "exportImportReport", "tags": ["Import"], "summary": "The report of every row as CSV",
        "parameters": [{"name": "importId", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}}],
        "responses": csv(),
    });
    let mut routes = vec![
        route(
            "POST",
            "/api/v1/imports",
            with_problems(upload, &[400, 401, 403, 413, 415, 429, 500, 503]),
        ),
        route(
            "GET",
            "/api/v1/imports/{importId}/report",
            with_problems(report, &[400, 401, 403, 404, 429, 500, 503]),
        ),
    ];
    for (path, name) in [
        ("/api/v1/contacts/export", "exportContacts"),
        ("/api/v1/accounts/export", "exportAccounts"),
        ("/api/v1/deals/export", "exportDeals"),
    ] {
        let mut format = query("format", false, "`csv` (default) or `ndjson`.");
        format["schema"]["enum"] = serde_json::json!(["csv", "ndjson"]);
        let filter = serde_json::json!({"name": "filter", "in": "query", "style": "deepObject", "explode": true,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}}, "description": "The filters of the list."});
        let mut export = serde_json::json!({
            "operationId": name, "tags": ["Export"], "summary": "The whole list as a file",
            "description": "Everything that the list has under these filters, as a stream. Cells of CSV that would begin a formula have an apostrophe in front; an import takes it away.",
            "parameters": [format, query("sort", false, "A sort of the list."), filter],
            "responses": csv(),
        });
        export["responses"]["200"]["content"]["application/x-ndjson"] =
            serde_json::json!({"schema": {"type": "string"}});
        routes.push(route(
            "GET",
            path,
            with_problems(export, &[400, 401, 403, 429, 500, 503]),
        ));
    }
    routes
}

fn route(method: &'static str, path: &'static str, operation: Option<serde_json::Value>) -> ByHand {
    ByHand {
        method,
        path,
        public: false,
        operation,
    }
}
