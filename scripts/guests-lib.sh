# For the scripts that build guests of other languages: builds what has changed, and skips by name what cannot be built.
# Whoever sources it has `target`, `install` (which says in `why` what is missing) and `build GUEST COMPONENT`.

# Language, folder of its SDK, what the toolchain is called.
build_guests() {
    local language=$1 sdk=$2 toolchain=$3 guest component sum why='' skipped=0 installed=
    local out=$target/wasm32-wasip2/guest digest
    digest=$(command -v sha256sum || echo "shasum -a 256")
    mkdir -p "$out"
    for folder in tests/guests-"$language"/*/; do
        guest=$(basename "$folder")
        component=$out/${language}_$guest.wasm
        # What it is made of, by content: times say nothing after a checkout.
        sum=$({ echo "$toolchain"; find "$sdk" wit "$folder" -type f ! -path '*/__pycache__/*' ! -path '*/node_modules/*' \
            ! -path '*/tests/*' ! -name '*.md' ! -name '*.d.ts' | sort | xargs $digest; } | $digest)
        [ -e "$component" ] && [ "$(cat "$component.made-of" 2>/dev/null)" = "$sum" ] && continue
        # One that is older than its sources would be tested in vain.
        rm -f "$component" "$component.made-of"
        if [ -z "$installed" ]; then
            if install; then installed=yes; else installed=no; fi
        fi
        if [ "$installed" = no ]; then
            printf 'skipped %s_%s: %s, which builds it with %s\n' "$language" "$guest" "$why" "$toolchain"
            skipped=$((skipped + 1))
            continue
        fi
        build "$guest" "$component"
        echo "$sum" >"$component.made-of"
    done
    [ "$skipped" -gt 0 ] || return 0
    if [ "${CI:-false}" != false ] && [ -n "${CI:-}" ]; then
        echo "error: $skipped skipped; nothing may be skipped where CI is set" >&2
        exit 1
    fi
    echo "$skipped skipped"
}
