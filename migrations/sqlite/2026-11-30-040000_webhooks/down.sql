DROP TABLE webhook_deliveries;
DROP TABLE webhook_retries;
DROP TABLE webhooks;
