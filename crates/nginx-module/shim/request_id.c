/*
 * `$request_id` of as many random bytes as nginx's own, from the same source, but of many requests at once: asking OpenSSL for sixteen
 * bytes costs a request as much as finding its route several times.
 */

#include "sparrow.h"


#if (NGX_OPENSSL)

#include <openssl/rand.h>


#define SPARROW_ID_BYTES   16
#define SPARROW_IDS        256


static ngx_http_get_variable_pt  sparrow_next_request_id;

/* Each is used once, from the end. */
static u_char     sparrow_ids[SPARROW_IDS * SPARROW_ID_BYTES];
static size_t     sparrow_ids_left;
/* The process that has asked for them: two with the same would give the same. */
static ngx_pid_t  sparrow_ids_pid;


static ngx_int_t
sparrow_request_id_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char  *id;

    if (sparrow_ids_left == 0 || sparrow_ids_pid != ngx_pid) {
        sparrow_ids_left = 0;

        if (RAND_bytes(sparrow_ids, sizeof(sparrow_ids)) != 1) {
            ngx_ssl_error(NGX_LOG_ALERT, r->connection->log, 0, "RAND_bytes() failed");
            return sparrow_next_request_id(r, v, data);
        }

        sparrow_ids_left = SPARROW_IDS;
        sparrow_ids_pid = ngx_pid;
    }

    v->data = ngx_pnalloc(r->pool, 2 * SPARROW_ID_BYTES);
    if (v->data == NULL) {
        return NGX_ERROR;
    }

    sparrow_ids_left--;
    id = &sparrow_ids[sparrow_ids_left * SPARROW_ID_BYTES];
    ngx_hex_dump(v->data, id, SPARROW_ID_BYTES);
    ngx_explicit_memzero(id, SPARROW_ID_BYTES);

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = 2 * SPARROW_ID_BYTES;

    return NGX_OK;
}

#endif


/* Takes the place of what nginx has for the variable, before nginx looks for that. */
ngx_int_t
sparrow_init_request_id(ngx_conf_t *cf)
{
#if (NGX_OPENSSL)
    ngx_uint_t                  i;
    ngx_hash_key_t             *key;
    ngx_http_variable_t        *variable;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    key = cmcf->variables_keys->keys.elts;

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {
        variable = key[i].value;

        if (variable->get_handler && variable->name.len == sizeof("request_id") - 1
            && ngx_strncmp(variable->name.data, "request_id", sizeof("request_id") - 1) == 0)
        {
            sparrow_next_request_id = variable->get_handler;
            variable->get_handler = sparrow_request_id_variable;
        }
    }
#endif

    return NGX_OK;
}
