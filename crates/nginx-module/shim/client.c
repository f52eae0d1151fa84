/*
 * What backends are told of what the client said, each found with one look at it: as maps with patterns, nginx would read it several
 * times a request. nginx.conf may define variables of these names itself, which are then in force.
 */

#include "sparrow.h"


static void
sparrow_set_text(ngx_http_variable_value_t *v, u_char *data, size_t len)
{
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = len;
    v->data = data;
}


/* Whether the request line names a host: its target is no path then. */
static ngx_flag_t
sparrow_is_absolute(ngx_http_request_t *r)
{
    u_char  *p, *end;

    end = r->request_line.data + r->request_line.len;

    for (p = r->request_line.data; p < end && *p != ' '; p++) { /* the method */ }
    while (p < end && *p == ' ') {
        p++;
    }

    return p < end && *p != '/';
}


/*
 * $sparrow_host: the host that routes, with the port that the client named. Of a target that names a host, and only then, it is not that of
 * the header (RFC 9112, 3.2.2). Only HTTP/1.0 comes without any.
 */
ngx_int_t
sparrow_host_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                   text;
    sparrow_main_conf_t        *smcf;
    ngx_http_variable_value_t  *address;

    if (r->headers_in.server.len && sparrow_is_absolute(r)) {
        sparrow_set_text(v, r->headers_in.server.data, r->headers_in.server.len);
        return NGX_OK;
    }

    if (r->headers_in.host && r->headers_in.host->value.len) {
        sparrow_set_text(v, r->headers_in.host->value.data, r->headers_in.host->value.len);
        return NGX_OK;
    }

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);
    if (smcf->own_address) {
        if (ngx_http_complex_value(r, smcf->own_address, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        sparrow_set_text(v, text.data, text.len);
        return NGX_OK;
    }

    address = ngx_http_get_indexed_variable(r, smcf->indexes.server_addr);
    if (address == NULL || address->not_found) {
        return NGX_ERROR;
    }
    sparrow_set_text(v, address->data, address->len);

    return NGX_OK;
}


void
sparrow_told_host(ngx_http_request_t *r, sparrow_bytes_t *host)
{
    ngx_str_t                   text;
    sparrow_main_conf_t        *smcf;
    ngx_http_variable_value_t  *value;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    ngx_str_null(&text);

    if (smcf->told_host) {
        if (ngx_http_complex_value(r, smcf->told_host, &text) != NGX_OK) {
            ngx_str_null(&text);
        }

    } else {
        value = ngx_http_get_indexed_variable(r, smcf->indexes.host);
        if (value && !value->not_found) {
            text.len = value->len;
            text.data = value->data;
        }
    }

    *host = sparrow_bytes(&text);
}


/* $sparrow_port: the port of that host, or that of the scheme. */
ngx_int_t
sparrow_port_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                      len;
    sparrow_bytes_t             bytes;
    sparrow_main_conf_t        *smcf;
    ngx_http_variable_value_t  *host;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    host = ngx_http_get_indexed_variable(r, smcf->indexes.host);
    if (host == NULL) {
        return NGX_ERROR;
    }

    bytes.data = host->data;
    bytes.len = host->not_found ? 0 : host->len;

    len = sparrow_port_len(bytes);
    if (len) {
        sparrow_set_text(v, host->data + host->len - len, len);
        return NGX_OK;
    }

#if (NGX_HTTP_SSL || NGX_COMPAT)
    if (r->connection->ssl) {
        sparrow_set_text(v, (u_char *) "443", 3);
        return NGX_OK;
    }
#endif

    sparrow_set_text(v, (u_char *) "80", 2);

    return NGX_OK;
}


/* $sparrow_upgrade: to what the connection is to be upgraded, but for h2c, inside which requests would pass unseen. */
ngx_int_t
sparrow_upgrade_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    sparrow_main_conf_t        *smcf;
    ngx_http_variable_value_t  *sent;

    *v = ngx_http_variable_null_value;

    if (r->headers_in.upgrade == NULL) {
        return NGX_OK;
    }

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    /* Of several headers, nginx joins what they say. */
    sent = ngx_http_get_indexed_variable(r, smcf->indexes.http_upgrade);
    if (sent == NULL) {
        return NGX_ERROR;
    }

    if (sent->not_found || sent->len == 0
        || ngx_strlcasestrn(sent->data, sent->data + sent->len, (u_char *) "h2c", 3 - 1))
    {
        return NGX_OK;
    }

    sparrow_set_text(v, sent->data, sent->len);

    return NGX_OK;
}


/* $sparrow_connection: what the backend is told of the connection, for that. */
ngx_int_t
sparrow_connection_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    sparrow_main_conf_t        *smcf;
    ngx_http_variable_value_t  *upgrade;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    upgrade = ngx_http_get_indexed_variable(r, smcf->indexes.upgrade);
    if (upgrade == NULL) {
        return NGX_ERROR;
    }

    *v = ngx_http_variable_null_value;
    if (!upgrade->not_found && upgrade->len) {
        sparrow_set_text(v, (u_char *) "upgrade", sizeof("upgrade") - 1);
    }

    return NGX_OK;
}


static ngx_flag_t
sparrow_is_escaped(u_char c)
{
    return c == '%' || c == '&' || c == '+';
}


/* $sparrow_escaped_request_uri: the path and the query that the client sent, as a value of a query. */
ngx_int_t
sparrow_escaped_target_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                      len;
    u_char                     *p, *text, *end, *out;
    sparrow_main_conf_t        *smcf;
    ngx_http_variable_value_t  *target;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    target = ngx_http_get_indexed_variable(r, smcf->indexes.request_uri);
    if (target == NULL || target->not_found) {
        return NGX_ERROR;
    }

    end = target->data + target->len;

    for (len = 0, p = target->data; p < end; p++) {
        len += sparrow_is_escaped(*p) ? 3 : 1;
    }

    text = ngx_pnalloc(r->pool, len);
    if (text == NULL) {
        return NGX_ERROR;
    }

    for (out = text, p = target->data; p < end; p++) {
        if (sparrow_is_escaped(*p)) {
            out = ngx_sprintf(out, "%%%02Xd", (u_int) *p);
        } else {
            *out++ = *p;
        }
    }

    sparrow_set_text(v, text, len);

    return NGX_OK;
}


/*
 * $sparrow_set_cookie_1 and the next ones: the cookies of the answer of a server, each by itself. nginx has the first, or from 1.23 on one
 * text of all.
 */
ngx_int_t
sparrow_set_cookie_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    *v = ngx_http_variable_null_value;

    if (r->upstream == NULL) {
        return NGX_OK;
    }

    part = &r->upstream->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */; i++) {
        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NGX_OK;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].hash == 0 || header[i].key.len != sizeof("Set-Cookie") - 1
            || ngx_strncasecmp(header[i].key.data, (u_char *) "Set-Cookie", sizeof("Set-Cookie") - 1) != 0)
        {
            continue;
        }

        if (data-- == 0) {
            sparrow_set_text(v, header[i].value.data, header[i].value.len);
            return NGX_OK;
        }
    }
}
