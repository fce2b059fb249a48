//! `devsignal.crm.v1.SearchService`.

use contracts::crm::v1 as crm;
use contracts::crm::v1::search_service_server::SearchService;
use rpc::{Access, Caller};
use tonic::{Request, Response, Status};

use super::{answer, enter, serve};
use crate::domain::search::{Document, Found, Highlight, Kind, MAX_CHARS, Query, Refusal};
use crate::error::CrmError;
use crate::store::{Records, SearchRequest};

/// First half of the scopes that this method needs.
const RESOURCE: &str = "search";

/// Search over all kinds of records.
pub struct SearchApi {
    records: Records,
}

impl SearchApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn search(&self, request: Request<crm::SearchRequest>) -> Result<crm::SearchResponse, CrmError> {
        let (caller, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let query = query(asked.q.as_deref())?;
        let kinds = kinds(&caller, asked.types.as_deref())?;
        let wanted = SearchRequest {
            query: &query,
            kinds: &kinds,
            limit: asked.limit,
            cursor: asked.cursor.as_deref(),
        };
        let page = self.records.search(&scope, &wanted).await?;
        Ok(crm::SearchResponse {
            data: page
                .items
                .iter()
                .map(|(document, found)| result(document, found))
                .collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }
}

fn refuse(parameter: &str, code: &str, message: String) -> CrmError {
    CrmError::Api(::store::paging::invalid_parameter(parameter, code, message))
}

fn query(q: Option<&str>) -> Result<Query, CrmError> {
    let q = q.unwrap_or_default();
    if q.contains('\0') {
        return Err(refuse("?q", "invalid", "U+0000 is not allowed".to_owned()));
    }
    Query::parse(q).map_err(|refusal| match refusal {
        Refusal::TooShort => {
            let code = if q.is_empty() { "required" } else { "too_short" };
            refuse("?q", code, "q needs at least two letters or digits".to_owned())
        }
        Refusal::TooLong => refuse("?q", "too_long", format!("q has at most {MAX_CHARS} characters")),
    })
}

/// The kinds that are asked for, each of which the caller must be allowed to read; else all that the caller may read.
fn kinds(caller: &Caller, types: Option<&str>) -> Result<Vec<Kind>, CrmError> {
    let Some(types) = types.filter(|types| !types.is_empty()) else {
        let mut kinds = Kind::ALL.to_vec();
        kinds.retain(|kind| caller.require(Access::Read, kind.resource()).is_ok());
        return Ok(kinds);
    };
    let mut kinds = Vec::new();
    for name in types.split(',') {
        let kind = Kind::parse(name.trim()).ok_or_else(|| {
            let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            refuse(
                "?types",
                "unknown",
                format!("types are among: {}", names.join(", ")),
            )
        })?;
        caller.require(Access::Read, kind.resource())?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.sort_unstable();
    Ok(kinds)
}

fn result(document: &Document, found: &Found) -> crm::SearchResult {
    crm::SearchResult {
        r#type: document.kind.name().to_owned(),
        id: document.id.to_string(),
        object: document.object.clone(),
        title: document.title.clone(),
        // Three decimals: more would suggest a precision that is not there.
        score: (found.score * 1_000.0).round() / 1_000.0,
        matches: found.places.iter().map(place).collect(),
    }
}

fn place(place: &Highlight) -> crm::SearchMatch {
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    crm::SearchMatch {
        field: place.field.clone(),
        reason: place.reason.name().to_owned(),
        snippet: place.snippet.clone(),
        highlights: place
            .ranges
            .iter()
            .map(|(start, end)| crm::SearchHighlight {
                start: number(*start),
                end: number(*end),
            })
            .collect(),
    }
}

serve!(SearchApi, SearchService {
    search => search(SearchRequest) -> SearchResponse;
});
