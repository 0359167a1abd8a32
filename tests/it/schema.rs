//! Both databases hold the same tables. SQLite's migration is the original.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use countersign::store::Store;
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

use crate::support::database::{self, Postgres};

/// What of a schema both databases can be asked.
#[derive(Debug, Default, PartialEq)]
struct Table {
    /// Name, type in SQLite's word and nullability, in order.
    columns: Vec<(String, String, bool)>,
    constraints: BTreeSet<String>,
    /// Name, columns, whether unique and whether partial.
    indexes: BTreeSet<(String, Vec<String>, bool, bool)>,
}

type Schema = BTreeMap<String, Table>;

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_constraints_and_indexes() {
    let folder = tempfile::tempdir().unwrap();
    database::sqlite(folder.path()).await.close().await;
    let sqlite = read_sqlite(&folder.path().join("test.db")).await;
    assert!(sqlite.len() > 20, "only {} tables", sqlite.len());
    assert!(sqlite["people"].constraints.contains("people_name_unique"));
    assert_eq!(sqlite["people"].columns[1], ("created_at".into(), "integer".into(), false));
    assert!(sqlite["releases"].indexes.iter().any(|(_, _, unique, partial)| *unique && *partial));

    let Some(database) = Postgres::create().await else { return };
    Store::open(&database.url, Path::new("")).await.unwrap().close().await;
    let postgres = read_postgres(&database.url).await;
    database.remove().await;
    let names = |schema: &Schema| schema.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&sqlite), names(&postgres));
    for (name, table) in &sqlite {
        assert_eq!(*table, postgres[name], "table {name}");
    }
}

/// What the databases cannot be asked alike, the conditions of checks and partial indexes, is
/// compared in the text of the migrations.
#[test]
fn the_migrations_say_the_same_but_for_the_names_of_types() {
    let words = |text: &str| -> Vec<String> {
        let code = text.lines().map(|line| line.split("--").next().unwrap_or_default());
        let code = code.collect::<Vec<_>>().join(" ").replace(") strict;", ");");
        code.split_whitespace()
            .map(|word| match word.trim_end_matches(',') {
                "integer" => word.replace("integer", "bigint"),
                "blob" => word.replace("blob", "bytea"),
                _ => word.to_owned(),
            })
            .collect()
    };
    let sqlite = words(include_str!("../../migrations/sqlite/0001_init.sql"));
    let postgres = words(include_str!("../../migrations/postgres/0001_init.sql"));
    assert!(sqlite.len() > 1000, "only {} words", sqlite.len());
    for (place, (left, right)) in sqlite.iter().zip(&postgres).enumerate() {
        let before = sqlite[place.saturating_sub(12)..place].join(" ");
        assert_eq!(left, right, "after `{before}`");
    }
    assert_eq!(sqlite.len(), postgres.len());
}

async fn read_sqlite(path: &Path) -> Schema {
    let url = format!("sqlite:{}", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let mut schema = Schema::new();
    let rows = sqlx::query(
        "select m.name as table_name, c.name, lower(c.type) as type, c.\"notnull\" = 0 as nullable
        from sqlite_master m join pragma_table_info(m.name) c
        where m.type = 'table' and m.name not like '\\_sqlx%' escape '\\'
        order by m.name, c.cid",
    );
    for row in rows.fetch_all(&mut connection).await.unwrap() {
        let table = schema.entry(row.get("table_name")).or_default();
        table.columns.push((row.get("name"), row.get("type"), row.get::<i64, _>("nullable") == 1));
    }
    for (name, table) in &mut schema {
        let sql: String = sqlx::query_scalar("select sql from sqlite_master where name = $1")
            .bind(name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let mut words = sql.split_whitespace();
        while words.by_ref().any(|word| word == "constraint") {
            table.constraints.insert(words.next().unwrap().to_owned());
        }
    }
    let rows = sqlx::query(
        "select m.name as table_name, i.name, i.\"unique\" as is_unique, i.partial,
          (select group_concat(name) from (select name from pragma_index_info(i.name) order by seqno))
            as columns
        from sqlite_master m join pragma_index_list(m.name) i
        where m.type = 'table' and i.origin = 'c'",
    );
    for row in rows.fetch_all(&mut connection).await.unwrap() {
        let columns: String = row.get("columns");
        let index = (
            row.get("name"),
            columns.split(',').map(str::to_owned).collect(),
            row.get::<i64, _>("is_unique") == 1,
            row.get::<i64, _>("partial") == 1,
        );
        schema.get_mut(row.get::<&str, _>("table_name")).unwrap().indexes.insert(index);
    }
    connection.close().await.unwrap();
    schema
}

async fn read_postgres(url: &str) -> Schema {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut schema = Schema::new();
    let rows = sqlx::query(
        "select table_name::text as table_name, column_name::text as name, data_type::text as type,
          is_nullable = 'YES' as nullable
        from information_schema.columns
        where table_schema = 'public' and table_name not like '\\_sqlx%'
        order by table_name, ordinal_position",
    );
    for row in rows.fetch_all(&mut connection).await.unwrap() {
        let kind = match row.get("type") {
            "bigint" => "integer",
            "bytea" => "blob",
            other => other,
        };
        let table = schema.entry(row.get("table_name")).or_default();
        table.columns.push((row.get("name"), kind.to_owned(), row.get("nullable")));
    }
    let rows = sqlx::query(
        "select r.relname::text as table_name, c.conname::text as name
        from pg_constraint c join pg_class r on r.oid = c.conrelid
        where c.connamespace = 'public'::regnamespace and r.relname not like '\\_sqlx%'",
    );
    for row in rows.fetch_all(&mut connection).await.unwrap() {
        let table = schema.get_mut(row.get::<&str, _>("table_name")).unwrap();
        table.constraints.insert(row.get("name"));
    }
    let rows = sqlx::query(
        "select t.relname::text as table_name, i.relname::text as name, x.indisunique as is_unique,
          x.indpred is not null as partial,
          (select array_agg(a.attname::text order by k.place)
            from unnest(x.indkey) with ordinality k (number, place)
            join pg_attribute a on a.attrelid = t.oid and a.attnum = k.number) as columns
        from pg_index x
        join pg_class i on i.oid = x.indexrelid
        join pg_class t on t.oid = x.indrelid
        where t.relnamespace = 'public'::regnamespace and t.relname not like '\\_sqlx%'
          and not exists (select 1 from pg_constraint c where c.conindid = x.indexrelid
            and c.contype in ('p', 'u'))",
    );
    for row in rows.fetch_all(&mut connection).await.unwrap() {
        let index = (row.get("name"), row.get("columns"), row.get("is_unique"), row.get("partial"));
        schema.get_mut(row.get::<&str, _>("table_name")).unwrap().indexes.insert(index);
    }
    connection.close().await.unwrap();
    schema
}
