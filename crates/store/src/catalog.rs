//! What the catalogue must not show: ways around the walls between tenants. Used by tests of every service.

use sqlx::PgConnection;

use crate::StoreError;

/// Each statement gives one sentence per violation in schema `$1`.
const CHECKS: &[&str] = &[
    // Row-level security, forced, on every table with org_id and on every partition of one.
    "SELECT format('table %s has org_id but no forced row-level security', c.relname)
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
     WHERE c.relnamespace = $1::text::regnamespace AND c.relkind IN ('r', 'p')
       AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
    // A policy for every role, of both directions, that compares with the context.
    "SELECT format('table %s has org_id but no policy that compares it with devsignal.org_id', c.relname)
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
     WHERE c.relnamespace = $1::text::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND NOT EXISTS (
           SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polroles = '{0}'
             AND pg_get_expr(p.polqual, p.polrelid)
                 = '(org_id = (current_setting(''devsignal.org_id''::text))::uuid)'
             AND pg_get_expr(p.polwithcheck, p.polrelid)
                 = '(org_id = (current_setting(''devsignal.org_id''::text))::uuid)')",
    // No other policy lets the request path see more.
    "SELECT format('policy %s on table %s opens it to others than %s_pipeline', p.polname, c.relname, $1)
     FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
     WHERE c.relnamespace = $1::text::regnamespace AND p.polpermissive AND p.polname <> 'tenant'
       AND NOT p.polroles <@ ARRAY(SELECT oid FROM pg_roles
             WHERE rolname = $1 || '_pipeline' OR (rolname = $1 || '_owner' AND c.relispartition))",
    // A view of the owner's reads with the owner's rights, unless told otherwise.
    "SELECT format('view %s lacks security_invoker', c.relname) FROM pg_class c
     WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'v'
       AND NOT COALESCE(c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1'],
                        false)",
    "SELECT format('materialized view %s cannot have row-level security', c.relname) FROM pg_class c
     WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'm'",
    // Foreign keys are checked outside of row-level security: without org_id they reach other tenants' rows.
    "SELECT format('foreign key %s of table %s leaves out org_id', f.conname, c.relname)
     FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
     WHERE c.relnamespace = $1::text::regnamespace AND f.contype = 'f'
       AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = f.conrelid AND a.attname = 'org_id')
       AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = f.confrelid AND a.attname = 'org_id')
       AND NOT EXISTS (
           SELECT FROM unnest(f.conkey, f.confkey) AS k (here, there)
           JOIN pg_attribute h ON h.attrelid = f.conrelid AND h.attnum = k.here AND h.attname = 'org_id'
           JOIN pg_attribute t ON t.attrelid = f.confrelid AND t.attnum = k.there AND t.attname = 'org_id')",
    "SELECT format('function %s is SECURITY DEFINER', p.oid::regprocedure) FROM pg_proc p
     WHERE p.pronamespace = $1::text::regnamespace AND p.prosecdef",
    "SELECT format('role %s %s', r.rolname, CASE WHEN r.rolsuper THEN 'is superuser'
                   WHEN r.rolbypassrls THEN 'may bypass row-level security' ELSE 'may create roles' END)
     FROM pg_roles r WHERE r.rolname IN ($1 || '_owner', $1 || '_app', $1 || '_pipeline')
       AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole)",
    "SELECT format('role %s is a member of role %s', m.member::regrole, m.roleid::regrole) FROM pg_auth_members m
     JOIN pg_roles r ON r.oid = m.member WHERE r.rolname IN ($1 || '_app', $1 || '_pipeline')",
    "SELECT format('%s is owned by %s', c.relname, r.rolname) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
     WHERE c.relnamespace = $1::text::regnamespace AND r.rolname <> $1 || '_owner'",
    // TRUNCATE, REFERENCES and TRIGGER pass by row-level security.
    "SELECT format('%s on table %s is granted to %s', g.privilege_type, c.relname,
                   COALESCE(r.rolname, 'PUBLIC'))
     FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g LEFT JOIN pg_roles r ON r.oid = g.grantee
     WHERE c.relnamespace = $1::text::regnamespace AND g.grantee <> c.relowner
       AND (g.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER') OR g.grantee = 0
            OR r.rolname NOT IN ($1 || '_app', $1 || '_pipeline'))",
    "SELECT format('partition %s is granted to %s', c.relname, r.rolname)
     FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee
     WHERE c.relnamespace = $1::text::regnamespace AND c.relispartition AND c.relkind IN ('r', 'p')
       AND g.grantee <> c.relowner",
    "SELECT format('CREATE on schema %s is granted to %s', n.nspname, COALESCE(r.rolname, 'PUBLIC'))
     FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) g LEFT JOIN pg_roles r ON r.oid = g.grantee
     WHERE n.nspname IN ($1, 'public') AND g.privilege_type = 'CREATE' AND g.grantee <> n.nspowner",
];

/// The violations in `schema`, each as a sentence that names its object; empty when there are none.
///
/// Checked: tables with `org_id` without forced row-level security, without the tenant policy of both directions, or
/// with a policy for others than the pipeline role; views without `security_invoker`; foreign keys between tables with
/// `org_id` that leave it out; `SECURITY DEFINER` functions; roles that are superuser, may bypass row-level security,
/// are members of others or own tables as app or pipeline; grants of `TRUNCATE`, of `CREATE`, to anyone else, or on
/// partitions.
///
/// # Errors
/// The catalogue cannot be read, or there is no such schema.
pub async fn violations(connection: &mut PgConnection, schema: &str) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for check in CHECKS {
        let sentences: Vec<String> = sqlx::query_scalar(*check)
            .bind(schema)
            .fetch_all(&mut *connection)
            .await?;
        found.extend(sentences);
    }
    found.sort();
    Ok(found)
}
