//! The tables, as both databases have them. Times are microseconds since 1970, ids are text.

#![expect(missing_docs, reason = "the columns are described in the migrations")]

diesel::table! {
    organisations (id) {
        id -> Text,
        writes -> BigInt,
        created_at -> BigInt,
        event_sequence -> BigInt,
    }
}

diesel::table! {
    connections (id) {
        id -> Text,
        organisation_id -> Text,
        name -> Text,
        name_key -> Text,
        platform -> Text,
        connection_type -> Text,
        settings_sealed -> Nullable<Binary>,
        credentials_sealed -> Nullable<Binary>,
        verification_sealed -> Nullable<Binary>,
        status -> Text,
        counts_toward_limit -> Bool,
        version -> BigInt,
        verify_after -> Nullable<BigInt>,
        verify_attempts -> BigInt,
        lease_until -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
        created_at -> BigInt,
        updated_at -> BigInt,
        created_by -> Text,
        deleted_at -> Nullable<BigInt>,
        lease_owner -> Nullable<Text>,
        created_via_service -> Bool,
        health_sealed -> Nullable<Binary>,
        last_success_at -> Nullable<BigInt>,
        last_checked_at -> Nullable<BigInt>,
        check_after -> Nullable<BigInt>,
        check_attempts -> BigInt,
        credentials_expire_on -> Nullable<BigInt>,
        tell_expiry_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    verifications (id) {
        id -> Text,
        organisation_id -> Text,
        connection_id -> Text,
        report_sealed -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    automations (connection_id, automation_id) {
        connection_id -> Text,
        automation_id -> Text,
        organisation_id -> Text,
        first_used_at -> BigInt,
        last_used_at -> BigInt,
    }
}

diesel::table! {
    audit_events (id) {
        id -> Text,
        organisation_id -> Text,
        connection_id -> Nullable<Text>,
        action -> Text,
        outcome -> Text,
        actor -> Text,
        address -> Nullable<Text>,
        request_id -> Nullable<Text>,
        detail -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    idempotency_keys (organisation_id, key_hash) {
        organisation_id -> Text,
        key_hash -> Text,
        body_hash -> Text,
        connection_id -> Nullable<Text>,
        expires_at -> BigInt,
        owner -> Nullable<Text>,
    }
}

diesel::table! {
    vault_keys (id) {
        id -> Text,
        first_used_at -> BigInt,
        rotated_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    events (id) {
        id -> Text,
        organisation_id -> Text,
        sequence -> BigInt,
        #[sql_name = "type"]
        event_type -> Text,
        connection_id -> Text,
        connection_name -> Text,
        platform -> Text,
        connection_type -> Text,
        data -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    webhooks (id) {
        id -> Text,
        organisation_id -> Text,
        url_sealed -> Binary,
        secret_sealed -> Binary,
        former_secret_sealed -> Nullable<Binary>,
        former_secret_until -> Nullable<BigInt>,
        events -> Text,
        description -> Nullable<Text>,
        active -> Bool,
        paused_reason -> Nullable<Text>,
        version -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        created_by -> Text,
        progress -> BigInt,
        failures -> BigInt,
        rest_until -> BigInt,
        retry_at -> Nullable<BigInt>,
        served_at -> BigInt,
        lease_until -> Nullable<BigInt>,
        lease_owner -> Nullable<Text>,
    }
}

diesel::table! {
    webhook_retries (webhook_id, sequence) {
        webhook_id -> Text,
        sequence -> BigInt,
        event_id -> Text,
        event_type -> Text,
        attempts -> BigInt,
        first_at -> BigInt,
        next_at -> BigInt,
    }
}

diesel::table! {
    webhook_deliveries (id) {
        id -> Text,
        webhook_id -> Text,
        event_id -> Text,
        event_type -> Text,
        attempt -> BigInt,
        outcome -> Text,
        status -> Nullable<BigInt>,
        duration_ms -> BigInt,
        error -> Nullable<Text>,
        created_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(organisations, webhooks);
diesel::allow_tables_to_appear_in_same_query!(events, webhooks);
diesel::allow_tables_to_appear_in_same_query!(events, webhook_retries);
