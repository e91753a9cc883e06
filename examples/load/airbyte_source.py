"""Reads all pages with Airbyte's low-code CDK and writes its records, one a line: base URL, key, rows of a page."""

import logging
import sys
import time

from airbyte_cdk.models import AirbyteMessageSerializer, ConfiguredAirbyteCatalogSerializer, Type
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from orjson import dumps

base, key, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
schema = {"type": "object", "additionalProperties": True}
manifest = {
    "version": "6.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": ["statistics"]},
    "streams": [
        {
            "type": "DeclarativeStream",
            "name": "statistics",
            "primary_key": [],
            "schema_loader": {"type": "InlineSchemaLoader", "schema": schema},
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {
                    "type": "HttpRequester",
                    "url_base": base,
                    "path": "/3.0/stats/custom",
                    "http_method": "GET",
                    "request_headers": {"api-key": key},
                    "request_parameters": {"slice[]": "offer", "timezone": "UTC", "limit": str(size)},
                },
                "record_selector": {
                    "type": "RecordSelector",
                    "extractor": {"type": "DpathExtractor", "field_path": ["stats"]},
                },
                "paginator": {
                    "type": "DefaultPaginator",
                    "page_token_option": {
                        "type": "RequestOption",
                        "inject_into": "request_parameter",
                        "field_name": "page",
                    },
                    "pagination_strategy": {"type": "PageIncrement", "page_size": size, "start_from_page": 1},
                },
            },
        }
    ],
    "spec": {"type": "Spec", "connection_specification": schema},
}
catalog = ConfiguredAirbyteCatalogSerializer.load(
    {
        "streams": [
            {
                "stream": {"name": "statistics", "json_schema": schema, "supported_sync_modes": ["full_refresh"]},
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append",
            }
        ]
    }
)
logging.disable(logging.WARNING)
source = ConcurrentDeclarativeSource(catalog=catalog, config={}, state=[], source_config=manifest)
started = time.monotonic()
for message in source.read(logging.getLogger("airbyte"), {}, catalog, []):
    if message.type == Type.RECORD:
        sys.stdout.buffer.write(dumps(AirbyteMessageSerializer.dump(message)))
        sys.stdout.buffer.write(b"\n")
sys.stdout.flush()
print("seconds", time.monotonic() - started, file=sys.stderr)
